//! The options of this step and of the steps below, and the checks of `doctor`.

use kiste_tests::{World, explain, help, options};

use crate::this_step;

fn world() -> Option<World> {
    World::of(this_step(), &["seccomp"])
}

#[test]
fn every_option_of_the_earlier_steps_works() {
    let Some(world) = world() else { return };
    let source = world.fixture.dir().join("source");
    std::fs::create_dir(&source).unwrap();
    let volume = format!("{}:/volume", source.display());
    let options = [
        "-e",
        "A=1",
        "-w",
        "/usr",
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
        "--read-only",
        "-t",
        "-u",
        "0:0",
        "--pids-limit",
        "20",
    ];
    let script = "echo $A $PWD; uname -n; cat /proc/sys/kernel/domainname; [ $$ = 1 ] || echo not PID 1; \
                  for at in volume mount memory; do grep -c \" /$at \" /proc/self/mountinfo; done; \
                  grep -q ' shared:' /proc/self/mountinfo && echo shared; \
                  touch /new 2>/dev/null || echo read-only; : </dev/tty";
    let ran = world.run_sh(&options, script);
    let lines = "1 /usr\ncrate\nexample.org\nnot PID 1\n1\n1\n1\nshared\nread-only\n";
    assert_eq!(ran.exits(0).out.replace("\r\n", "\n"), lines);
    explain::narrates_each_step_alone(&this_step(), |how| world.run(&[how], &["true"]));
    options::assert_program_is_out_of_reach(
        &world.start(&["--init"], &["sleep", "300"]),
    );
    world.run(&["--init"], &["ping", "-c1", "-W3", kiste_tests::net::OUTSIDE]).exits(0);
}

#[test]
fn help_is_as_recorded() {
    help::assert_help_is_as_recorded(&this_step());
}

#[test]
fn the_examples_in_the_help_work() {
    let Some(world) = world() else { return };
    let (enter, networks) = (world.enter(), world.network_dir());
    let enter: Vec<_> = enter.iter().map(String::as_str).collect();
    let networks = ["--network-dir", networks.to_str().unwrap()];
    help::assert_examples_work(&world.fixture, &enter, &networks);
}

#[test]
fn doctor_has_the_checks_of_this_step() {
    let checks =
        ["capabilities", "no-new-privs", "seccomp", "apparmor", "time-namespace"];
    let output = std::process::Command::new(this_step().exe())
        .args(["doctor", "--format", "json"])
        .output()
        .unwrap();
    let found: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    for name in checks {
        let check = found.iter().find(|check| check["name"] == name).expect(name);
        assert_ne!(check["found"], "", "{check}");
        assert_eq!(check["verdict"] == "ok", check["fix"].is_null(), "{check}");
    }
}
