//! Containers that want more than their limits.

use std::fs;
use std::time::{Duration, Instant};

use kiste_tests::{eventually, host};

use crate::fixture;
use crate::kernel::{self, HostCgroup};

/// A command that allocates 256 MiB at once.
const HOG: [&str; 5] = ["dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"];

#[test]
fn a_memory_hog_is_killed_and_the_reason_is_printed() {
    let Some(fixture) = fixture() else { return };
    let ran = fixture.run(&["-m", "32m"], &HOG);
    ran.exits(137).assert_stderr_contains("killed: out of memory (limit 32MiB, peak ");
    let peak = ran.err.split("peak ").nth(1).unwrap().split("MiB").next().unwrap();
    assert!((24.0..=32.0).contains(&peak.parse::<f64>().unwrap()), "{}", ran.err);
}

#[test]
fn a_memory_hog_below_an_init_is_killed_and_the_reason_is_printed() {
    let Some(fixture) = fixture() else { return };
    fixture
        .run(&["--init", "-m", "32m"], &HOG)
        .exits(137)
        .assert_stderr_contains("killed: out of memory (limit 32MiB");
}

#[test]
fn when_a_child_runs_out_of_memory_the_exit_code_stays_and_a_message_says_so() {
    let Some(fixture) = fixture() else { return };
    let ran = fixture.sh(
        &["-m", "32m"],
        &format!("{} 2>/dev/null; echo survived; exit 0", HOG.join(" ")),
    );
    ran.assert_stdout("survived")
        .assert_stderr_contains("killed: out of memory (limit 32MiB, peak ");
}

#[test]
fn the_limit_of_a_cgroup_above_also_kills_and_the_reason_is_printed() {
    let Some(fixture) = fixture() else { return };
    let (v2, v1) = (("memory.max", "33554432"), ("memory.limit_in_bytes", "33554432"));
    let _above = HostCgroup::make(&fixture, &[v2, v1]);
    fixture
        .run(&[], &HOG)
        .exits(137)
        .assert_stderr_contains("killed: out of memory (no limit of its own, peak ");
}

#[test]
fn a_command_within_its_limits_gets_no_message_about_them() {
    let Some(fixture) = fixture() else { return };
    let ran = fixture
        .run(&["-m", "64m", "--pids-limit", "9", "--cpus", "0.9"], &["echo", "fine"]);
    ran.assert_stdout("fine");
    assert_eq!(ran.err, "");
}

/// A fork bomb of only 90 processes, which does no harm even without a limit.
const BOMB: &str = "i=0; while [ $i -lt 90 ]; do sleep 100 & i=$((i+1)); done";

#[test]
fn a_fork_bomb_stops_at_the_pids_limit_and_the_host_stays_responsive() {
    let Some(fixture) = fixture() else { return };
    // When the cgroup is full, the shell can fork no more, so the rest of the script
    // has only built-in commands.
    let script = format!("sh -c '{BOMB}' 2>/dev/null; echo full; read line; exit 0");
    let mut running = fixture.start(&["--pids-limit", "20"], &["sh", "-c", &script]);
    running.wait_for("full");
    // The shell that could not fork has exited, so one of the 20 places is free.
    let count = || {
        kernel::value(running.pid, "pids.current", "pids.current")
            .parse::<u32>()
            .unwrap()
    };
    assert!((18..=20).contains(&count()), "{} processes, and 20 are allowed", count());
    let pids_events = host::cgroup_value(running.pid, "pids.events").unwrap();
    assert!(pids_events.starts_with("max ") && pids_events != "max 0", "{pids_events}");
    let start = Instant::now();
    fixture.run(&[], &["true"]).exits(0);
    assert!(
        start.elapsed() < Duration::from_secs(if kernel::is_vm() { 60 } else { 5 })
    );
    running.end().exits(0);
}

#[test]
fn a_busy_loop_gets_the_cpu_time_of_its_limit() {
    let Some(fixture) = fixture() else { return };
    let running =
        fixture.start(&["--cpus", "0.2"], &["sh", "-c", "while :; do :; done"]);
    // On a hybrid host the unified hierarchy also has a cpu.stat, but without
    // nr_throttled.
    let cgroups = kernel::directories(&fixture, &kernel::id(&running));
    let count = |text: String| {
        text.lines()
            .find_map(|line| line.strip_prefix("nr_throttled ")?.parse::<u64>().ok())
    };
    let counts = || {
        cgroups
            .iter()
            .filter_map(|path| count(fs::read_to_string(path.join("cpu.stat")).ok()?))
    };
    let throttled = || counts().sum::<u64>() > 0;
    eventually(|| throttled().then_some(())).expect("the loop is throttled");
    let (start, before) = (Instant::now(), host::ticks(running.pid));
    std::thread::sleep(Duration::from_secs(1));
    let used = host::ticks(running.pid) - before;
    let share = used as f64 / 100.0 / start.elapsed().as_secs_f64();
    assert!((0.05..0.35).contains(&share), "the loop got {share:.2} of a CPU");
}
