//! A command that clears its parent-death signal (prctl(2), PR_SET_PDEATHSIG), so that
//! it outlives its killed runtime. Without root it is in no cgroup of its own.

use std::path::Path;
use std::time::Duration;

use kiste_tests::{Running, User, eventually, host, require_tool};

use crate::without_ranges;

#[cfg(target_arch = "x86_64")]
const PRCTL: &str = "157";
#[cfg(not(target_arch = "x86_64"))]
const PRCTL: &str = "167";

/// Starts such a command, and kills its runtime. Returns the command's process id.
fn start_and_kill_runtime(user: &User) -> i32 {
    user.install(Path::new("/usr/bin/perl"), "perl");
    let script = format!(
        r#"$| = 1; syscall({PRCTL}, 1, 0) == 0 or die $!; print "free\n"; sleep 1 while 1"#
    );
    let mut running: Running = user.start(&[], &["/perl", "-e", &script]);
    running.wait_for("free");
    let pid = running.pid;
    running.kill_runtime();
    // If the kernel sends the signal, it arrives in this time.
    std::thread::sleep(Duration::from_millis(200));
    assert!(host::is_alive(pid), "it has outlived its runtime");
    pid
}

#[test]
fn a_container_that_outlives_its_killed_runtime_is_killed_by_gc() {
    let Some(user) = without_ranges().filter(|_| require_tool("perl")) else { return };
    let pid = start_and_kill_runtime(&user);
    let run_dirs = user.fixture().run_dirs();
    let ran = user.call(["gc", "--run-dir", run_dirs.to_str().unwrap()]);
    assert_eq!(ran.exits(0).out.lines().count(), 1, "{ran:?}");
    assert!(!host::is_alive(pid), "gc has not killed it");
    assert!(!run_dirs.exists(), "its run directory is gone");
}

#[test]
fn the_next_start_also_kills_a_container_that_outlives_its_runtime() {
    let Some(user) = without_ranges().filter(|_| require_tool("perl")) else { return };
    let pid = start_and_kill_runtime(&user);
    user.run(&[], &["echo", "it runs"]).assert_stdout("it runs");
    assert!(eventually(|| (!host::is_alive(pid)).then_some(())).is_some());
}

/// Only the run directory shows that the process still runs.
#[test]
fn the_run_directory_stays_if_gc_cannot_find_the_process_to_kill() {
    let Some(user) = without_ranges().filter(|_| require_tool("perl")) else { return };
    let pid = start_and_kill_runtime(&user);
    let run_dirs = user.fixture().run_dirs();
    let [entry] = std::fs::read_dir(&run_dirs)
        .unwrap()
        .map(Result::unwrap)
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let note = entry.path().join("first-process");
    let original = std::fs::read(&note).unwrap();
    std::fs::write(&note, "odd").unwrap();
    let gc = || user.call(["gc", "--run-dir", run_dirs.to_str().unwrap()]);
    gc().exits(1).assert_stderr_contains("first-process");
    assert!(host::is_alive(pid) && entry.path().exists());
    std::fs::write(&note, original).unwrap();
    gc().exits(0);
    assert!(!host::is_alive(pid) && !entry.path().exists());
}
