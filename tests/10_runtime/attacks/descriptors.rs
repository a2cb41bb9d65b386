//! CVE-2016-9962 and CVE-2024-21626: descriptors of the host that a container can reach.

use std::fs;

use serde_json::json;

use crate::conformance::bundle::{Bundle, ID};

/// A starter whose descriptors 3 to 40 and 1000 are the root directory of the host.
fn leak_descriptors(bundle: &mut Bundle) {
    let open = r#"n=3; while [ $n -le 40 ]; do eval "exec $n</"; n=$((n + 1)); done
        exec 1000</; exec "$@""#;
    bundle.starter = ["bash", "-c", open, "bash"].map(Into::into).into();
}

#[test]
fn a_command_that_joins_has_no_descriptor_of_the_host() {
    let Some(mut bundle) = Bundle::of_script("echo up; exec sleep 1000") else {
        return;
    };
    leak_descriptors(&mut bundle);
    bundle.started();
    bundle.wait_for_output("up");
    bundle.exec(&[], &["ls", "/proc/self/fd"]).assert_stdout("0\n1\n2\n3");
    bundle.exec(&[], &["ls", "/proc/1/fd"]).assert_stdout("0\n1\n2");
}

#[test]
fn a_process_that_joins_never_shows_its_descriptors_to_the_container() {
    let Some(mut bundle) = Bundle::new() else { return };
    // The listing would show a file that the runtime has open below its own directories.
    bundle.set_script(
        "echo up; while :; do for process in /proc/[0-9]*; do
            ls -l $process/fd $process/cwd $process/root; done 2> /dev/null; done",
    );
    bundle.started();
    bundle.wait_for_output("up");
    for _ in 0..20 {
        bundle.exec(&[], &["true"]).exits(0);
    }
    let seen = bundle.output();
    let secret = bundle.state_root();
    for path in [secret.to_str().unwrap(), "state.json", "/sys/fs/cgroup", "exec.fifo"]
    {
        let shown = seen.lines().find(|line| line.contains(path));
        assert_eq!(shown, None, "of the runtime");
    }
}

/// Numbers of descriptors that a runtime may have open, and some that none has.
fn numbers() -> impl Iterator<Item = u32> {
    (3..=24).chain([30, 40, 63, 64, 100, 255, 256, 500, 999, 1000])
}

#[test]
fn a_working_directory_by_a_descriptor_of_the_runtime_is_refused_by_run() {
    let Some(mut bundle) = Bundle::new() else { return };
    leak_descriptors(&mut bundle);
    bundle.set_script("pwd; ls; ls ../../../../..");
    bundle.assert_works();
    for number in numbers() {
        for form in ["/proc/self/fd/N", "/proc/1/fd/N", "/proc/thread-self/fd/N/../tmp"]
        {
            if form != "/proc/self/fd/N" && number > 12 {
                continue;
            }
            let cwd = form.replace('N', &number.to_string());
            bundle.config["process"]["cwd"] = json!(cwd);
            let ran = bundle.run();
            assert_ne!(ran.code, 0, "{cwd}: {ran:?}");
            assert_eq!(ran.out, "", "{cwd}");
        }
    }
}

#[test]
fn a_working_directory_by_a_link_to_a_descriptor_is_refused_by_run() {
    let Some(mut bundle) = Bundle::new() else { return };
    leak_descriptors(&mut bundle);
    bundle.set_script("pwd; ls; ls ../../../../..");
    bundle.assert_works();
    bundle.config["process"]["cwd"] = json!("/link");
    for number in 3..=12 {
        let link = bundle.rootfs().join("link");
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(format!("/proc/self/fd/{number}"), &link).unwrap();
        let ran = bundle.run();
        assert_ne!(ran.code, 0, "{number}: {ran:?}");
        assert_eq!(ran.out, "", "{number}");
    }
}

#[test]
fn a_working_directory_by_a_descriptor_of_the_runtime_is_refused_by_exec() {
    let Some(mut bundle) = Bundle::of_script("echo up; exec sleep 1000") else {
        return;
    };
    leak_descriptors(&mut bundle);
    bundle.started();
    bundle.wait_for_output("up");
    bundle.exec(&["--cwd", "/tmp"], &["pwd"]).assert_stdout("/tmp");
    for number in numbers() {
        let cwd = format!("/proc/self/fd/{number}");
        let ran = bundle.exec(&["--cwd", &cwd], &["ls", "../../../../.."]);
        assert_ne!(ran.code, 0, "{cwd}: {ran:?}");
        assert_eq!(ran.out, "", "{cwd}");
    }
    bundle.call(&["kill", ID, "KILL"]).exits(0);
}
