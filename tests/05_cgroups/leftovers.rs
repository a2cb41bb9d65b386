//! After each run the host's cgroups and run directories are as they were before. The
//! bench checks this after each test. These tests check details.

use std::fs;

use kiste_tests::eventually;

use crate::kernel::{self, HostCgroup, is_vm};
use crate::{bench, bench_with};

#[test]
fn cgroup_parent_and_run_directory_exist_only_while_the_container_runs() {
    let Some(bench) = bench() else { return };
    let running = bench.start(&["-m", "64m"], &["sh", "-c", "read line; exit 3"]);
    let id = kernel::id(&running);
    let cgroups = kernel::directories(&bench, &id);
    assert!(!cgroups.is_empty());
    assert!(bench.run_dirs().join(&id).is_dir(), "the run directory exists");
    running.end().exits(3);
    for cgroup in cgroups {
        assert!(
            !cgroup.exists() && !cgroup.parent().unwrap().exists(),
            "left: {}",
            cgroup.display()
        );
    }
    assert!(!bench.run_dirs().exists());
}

/// In the virtual machine no other program makes cgroups, so there the whole tree is
/// compared.
#[test]
fn runs_that_fail_also_leave_the_hosts_cgroups_unchanged() {
    let Some(bench) = bench() else { return };
    let before = kernel::tree();
    bench.run(&["-m", "64m"], &["false"]).exits(1);
    bench.run(&["-m", "64m"], &["nosuch"]).exits(127);
    bench.run(&["-m", "64m"], &["/etc/passwd"]).exits(126);
    bench
        .run(
            &["-m", "64m"],
            &["sh", "-c", "kill -KILL $$; sleep 0.1; exec sh -c 'exit 9'"],
        )
        .exits(9);
    bench
        .run(&["-m", "64m", "--rootfs", "/nonexistent"], &["true"])
        .exits(125)
        .complains("/nonexistent");
    bench.run(&["-m", "64m", "-v", "/nonexistent:/mnt"], &["true"]).exits(125);
    bench.run(&["-m", "64m", "-w", "/nonexistent"], &["true"]).exits(125);
    bench
        .run(&["-m", "64m", "--pid-file", "/nonexistent/pid"], &["sleep", "100"])
        .exits(125);
    let new: Vec<_> = kernel::tree().difference(&before).cloned().collect();
    let is_of_this_test = |path: &&std::path::PathBuf| {
        is_vm() || path.to_str().unwrap().contains(bench.cgroup_parent())
    };
    assert_eq!(
        new.iter().filter(is_of_this_test).collect::<Vec<_>>(),
        Vec::<&std::path::PathBuf>::new()
    );
    assert!(!bench.run_dirs().exists());
}

#[test]
fn a_parent_is_removed_with_its_last_container_and_not_before() {
    let Some(bench) = bench() else { return };
    let parents = || kernel::in_each(bench.cgroup_parent()).len();
    let one = bench.start(&[], &["sh", "-c", "read line; exit 0"]);
    let other = bench.start(&[], &["sh", "-c", "read line; exit 0"]);
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
    let Some(bench) = bench() else { return };
    let parent = HostCgroup::make(&bench, &[]);
    bench.run(&["-m", "64m"], &["true"]).exits(0);
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
    let Some(bench) = bench() else { return };
    let nested = format!("{}/machine/kiste", bench.cgroup_parent());
    let running = bench.start(
        &["--cgroup-parent", &nested, "-m", "64m"],
        &["sh", "-c", "read line; exit 0"],
    );
    assert_eq!(kernel::memory(running.pid), (64 << 20).to_string());
    assert!(!kernel::in_each(&nested).is_empty());
    running.end().exits(0);
    assert!(kernel::in_each(bench.cgroup_parent()).is_empty());
}

#[test]
fn cgroups_that_the_container_made_in_its_own_are_also_removed() {
    let Some(bench) = bench() else { return };
    let running = bench.start(&[], &["sh", "-c", "read line; exit 0"]);
    for cgroup in kernel::directories(&bench, &kernel::id(&running)) {
        fs::create_dir_all(cgroup.join("inner/most")).unwrap();
    }
    running.end().exits(0);
    assert!(kernel::in_each(bench.cgroup_parent()).is_empty());
}

/// Otherwise these processes would keep the cgroup.
#[test]
fn processes_that_the_command_left_running_are_killed() {
    let Some(bench) = bench() else { return };
    let script = "for i in 1 2 3; do setsid sleep 100 </dev/null >/dev/null 2>&1 & done; read line; exit 5";
    let running = bench.start(&[], &["sh", "-c", script]);
    let cgroups = kernel::directories(&bench, &kernel::id(&running));
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
    let Some(bench) = bench_with(&["cgroup-freeze"]) else { return };
    let _frozen = HostCgroup::make(&bench, &[("cgroup.freeze", "1")]);
    let script = r#""$0" "$@" & runtime=$!
        while kill -0 $runtime && ! grep -q . /proc/$runtime/task/$runtime/children; do sleep 0.02; done
        kill -TERM $runtime; wait $runtime"#;
    let ran = bench
        .call_by(&["bash", "-c", script], bench.arguments(&[], &["echo", "it runs"]));
    ran.exits(143).complains("SIGTERM came before the command ran");
    assert_eq!(ran.out, "");
}
