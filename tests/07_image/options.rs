//! The options of this step and of the earlier ones.

use kiste_tests::{help, options};

use crate::minimal_layer::minimal_layer;
use crate::test_store::{as_root_and_as_user, root};
use crate::this_step;

#[test]
fn every_option_of_the_earlier_steps_works() {
    let Some(store) = root() else { return };
    options::assert_earlier_options_work(store.fixture());
}

#[test]
fn help_is_as_recorded() {
    help::assert_help_is_as_recorded(&this_step());
}

#[test]
fn the_examples_of_the_help_work_as_they_are_typed() {
    let Some(store) = root() else { return };
    help::assert_examples_work(store.fixture(), &[], &[]);
}

#[test]
fn every_subcommand_with_a_store_has_the_store_option() {
    let Some(store) = root() else { return };
    let help = store.call_exactly(&["--help"]);
    for sub in [
        "import", "load", "save", "images", "rmi", "check", "history", "inspect",
        "tag", "export", "diff", "run", "gc", "doctor",
    ] {
        assert!(
            help.exits(0).out.contains(&format!("\n  {sub} ")),
            "{sub}:\n{}",
            help.out
        );
        let own = store.call_exactly(&[sub, "--help"]);
        assert_eq!(
            own.exits(0).out.contains("--store <DIR>"),
            sub != "doctor",
            "{sub}:\n{}",
            own.out
        );
    }
    for option in ["--image <", "--entrypoint <", "--commit <", "--rootfs <"] {
        assert!(
            store.call_exactly(&["run", "--help"]).out.contains(option),
            "{option}"
        );
    }
    store.call_exactly(&["--version"]).exits(0);
}

/// A single command has all options of the earlier steps.
#[test]
fn the_options_of_the_steps_below_work_with_an_image() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        store.let_others_enter();
        let volume = format!("{}:/volume:ro", store.dir().display());
        let pid_file = store.dir().join("pid");
        let options = [
            "-e",
            "A=1",
            "-w",
            "/etc",
            "--pid-file",
            pid_file.to_str().unwrap(),
            "--hostname",
            "crate",
            "--domainname",
            "example.org",
            "--init",
            "--propagation",
            "shared",
            "-v",
            &volume,
            "--mount",
            "type=tmpfs,dst=/mount",
            "--tmpfs",
            "/memory",
            "-t",
            "-u",
            "alice",
        ];
        let script = "echo $A $PWD $(id -u); cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname; [ $$ = 1 ] || echo not PID 1; \
                      for at in volume mount memory; do grep -c \" /$at \" /proc/self/mountinfo; done; \
                      grep -q ' shared:' /proc/self/mountinfo && echo shared; : </dev/tty";
        let ran = store.sh("small:1", &options, script);
        let lines = "1 /etc 1000\ncrate\nexample.org\nnot PID 1\n1\n1\n1\nshared\n";
        assert_eq!(ran.exits(0).out.replace("\r\n", "\n"), lines);
    });
}

#[test]
fn a_limit_holds_in_a_container_of_an_image() {
    let Some(store) = root() else { return };
    if !this_step().has(&["cgroup-memory", "cgroup-pids"]) {
        return;
    }
    store.import(minimal_layer(), "small:1");
    let hog = ["dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"];
    store
        .run("small:1", &["-m", "32m"], &hog)
        .exits(137)
        .assert_stderr_contains("out of memory (limit 32MiB");
    let running = store.start("small:1", &["--pids-limit", "20"], &["sleep", "100"]);
    assert_eq!(kiste_tests::host::cgroup_value(running.pid, "pids.max").unwrap(), "20");
}
