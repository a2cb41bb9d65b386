//! After each run the host's cgroups and run directories are as they were before. The
//! fixture checks this after each test. These tests check details.

use std::fs;

use kiste_tests::eventually;

use crate::kernel::{self, HostCgroup, is_vm};
use crate::{fixture, fixture_with};

#[test]
fn cgroup_parent_and_run_directory_exist_only_while_the_container_runs() {
    let Some(fixture) = fixture() else { return };
    let running = fixture.start(&["-m", "64m"], &["sh", "-c", "read line; exit 3"]);
    let id = kernel::id(&running);
    let cgroups = kernel::directories(&fixture, &id);
    assert!(!cgroups.is_empty());
    assert!(fixture.run_dirs().join(&id).is_dir(), "the run directory exists");
    running.end().exits(3);
    for cgroup in cgroups {
        assert!(
            !cgroup.exists() && !cgroup.parent().unwrap().exists(),
            "left: {}",
            cgroup.display()
        );
    }
    assert!(!fixture.run_dirs().exists());
}

/// In the virtual machine no other program makes cgroups, so there the whole tree is
/// compared.
#[test]
fn runs_that_fail_also_leave_the_hosts_cgroups_unchanged() {
    let Some(fixture) = fixture() else { return };
    let before = kernel::tree();
    fixture.run(&["-m", "64m"], &["false"]).exits(1);
    fixture.run(&["-m", "64m"], &["nosuch"]).exits(127);
    fixture.run(&["-m", "64m"], &["/etc/passwd"]).exits(126);
    fixture
        .run(
            &["-m", "64m"],
            &["sh", "-c", "kill -KILL $$; sleep 0.1; exec sh -c 'exit 9'"],
        )
        .exits(9);
    fixture
        .run(&["-m", "64m", "--rootfs", "/nonexistent"], &["true"])
        .exits(125)
        .assert_stderr_contains("/nonexistent");
    fixture.run(&["-m", "64m", "-v", "/nonexistent:/mnt"], &["true"]).exits(125);
    fixture.run(&["-m", "64m", "-w", "/nonexistent/.."], &["true"]).exits(125);
    fixture
        .run(&["-m", "64m", "--pid-file", "/nonexistent/pid"], &["sleep", "100"])
        .exits(125);
    let new: Vec<_> = kernel::tree().difference(&before).cloned().collect();
    let is_of_this_test = |path: &&std::path::PathBuf| {
        is_vm() || path.to_str().unwrap().contains(fixture.cgroup_parent())
    };
    assert_eq!(
        new.iter().filter(is_of_this_test).collect::<Vec<_>>(),
        Vec::<&std::path::PathBuf>::new()
    );
    assert!(!fixture.run_dirs().exists());
}

#[test]
fn a_parent_is_removed_with_its_last_container_and_not_before() {
    let Some(fixture) = fixture() else { return };
    let parents = || kernel::in_each(fixture.cgroup_parent()).len();
    let one = fixture.start(&[], &["sh", "-c", "read line; exit 0"]);
    let other = fixture.start(&[], &["sh", "-c", "read line; exit 0"]);
    let parents_at_start = parents();
    one.end().exits(0);
    assert_eq!(
        parents(),
        parents_at_start,
        "the other container is still in the parent"
    );
    assert!(kiste_tests::host::is_alive(other.pid));
    other.end().exits(0);
    assert_eq!(parents(), 0);
}

#[test]
fn a_parent_that_the_host_made_stays() {
    let Some(fixture) = fixture() else { return };
    let parent = HostCgroup::make(&fixture, &[]);
    fixture.run(&["-m", "64m"], &["true"]).exits(0);
    for cgroup in parent.paths() {
        assert!(cgroup.exists(), "{}", cgroup.display());
        let inside = fs::read_dir(cgroup)
            .unwrap()
            .filter(|it| it.as_ref().unwrap().path().is_dir());
        assert_eq!(inside.count(), 0);
    }
}

#[test]
fn missing_parents_are_made_at_each_level_and_removed_again() {
    let Some(fixture) = fixture() else { return };
    let nested = format!("{}/machine/kiste", fixture.cgroup_parent());
    let running = fixture.start(
        &["--cgroup-parent", &nested, "-m", "64m"],
        &["sh", "-c", "read line; exit 0"],
    );
    assert_eq!(kernel::memory(running.pid), (64 << 20).to_string());
    assert!(!kernel::in_each(&nested).is_empty());
    running.end().exits(0);
    assert!(kernel::in_each(fixture.cgroup_parent()).is_empty());
}

#[test]
fn cgroups_that_the_container_made_in_its_own_are_also_removed() {
    let Some(fixture) = fixture() else { return };
    let running = fixture.start(&[], &["sh", "-c", "read line; exit 0"]);
    for cgroup in kernel::directories(&fixture, &kernel::id(&running)) {
        fs::create_dir_all(cgroup.join("inner/most")).unwrap();
    }
    running.end().exits(0);
    assert!(kernel::in_each(fixture.cgroup_parent()).is_empty());
}

/// Otherwise these processes would keep the cgroup.
#[test]
fn processes_that_the_command_left_running_are_killed() {
    let Some(fixture) = fixture() else { return };
    let script = "for i in 1 2 3; do setsid sleep 100 </dev/null >/dev/null 2>&1 & done; read line; exit 5";
    let running = fixture.start(&[], &["sh", "-c", script]);
    let cgroups = kernel::directories(&fixture, &kernel::id(&running));
    let processes =
        || fs::read_to_string(cgroups[0].join("cgroup.procs")).unwrap_or_default();
    eventually(|| (processes().lines().count() == 4).then_some(()))
        .expect("three processes are left running");
    let pids: Vec<_> = processes().lines().map(String::from).collect();
    running.end().exits(5);
    assert!(pids.iter().all(|pid| !kiste_tests::host::is_alive(pid)), "{pids:?}");
}

/// A child that is created in a frozen cgroup hangs before its exec, as it would on a
/// file system that does not answer.
#[test]
fn sigterm_ends_a_start_that_is_stuck() {
    let Some(fixture) = fixture_with(&["cgroup-freeze"]) else { return };
    let _frozen = HostCgroup::make(&fixture, &[("cgroup.freeze", "1")]);
    let script = r#""$0" "$@" & runtime=$!
        while kill -0 $runtime && ! grep -q . /proc/$runtime/task/$runtime/children; do sleep 0.02; done
        kill -TERM $runtime; wait $runtime"#;
    let ran = fixture.call_under(
        &["bash", "-c", script],
        fixture.arguments(&[], &["echo", "it runs"]),
    );
    ran.exits(143).assert_stderr_contains("interrupted by SIGTERM");
    assert_eq!(ran.out, "");
}
