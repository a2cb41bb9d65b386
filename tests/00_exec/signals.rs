//! The runtime forwards its signals to the command.

use std::process::Command;

use kiste_tests::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bench;

#[test]
fn a_signal_sent_to_the_runtime_reaches_the_command() {
    use Signal::*;
    let script = "for s in HUP INT QUIT TSTP USR1 USR2 ALRM TERM WINCH; do trap \"echo got $s\" $s; done
                  echo ready; while :; do sleep 0.02; done";
    let bench = bench();
    let mut running = bench.start(&[], &["sh", "-c", script]);
    running.wait_for("ready\n");
    for signal in
        [SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGTERM]
    {
        running.signal(signal);
        running
            .wait_for(&format!("got {}\n", signal.as_str().trim_start_matches("SIG")));
    }
}

#[test]
fn a_signal_that_ends_the_command_ends_the_runtime_with_its_code() {
    let bench = bench();
    let running = bench.start(&[], &["sleep", "300"]);
    running.signal(Signal::SIGTERM);
    running.end().exits(143);
    let running = bench.start(&[], &["sleep", "300"]);
    running.signal(Signal::SIGUSR1);
    running.end().exits(138);
}

#[test]
fn a_real_time_signal_is_forwarded_and_reported_by_its_number() {
    let bench = bench();
    let running = bench.start(&[], &["sleep", "300"]);
    let sent = Command::new("sh")
        .args(["-c", "kill -37 $0", &running.runtime().to_string()])
        .status();
    assert!(sent.unwrap().success());
    running.end().exits(128 + 37);
}

#[test]
fn many_signals_at_once_are_not_lost() {
    let script = "n=0; trap 'n=$((n+1))' USR1; trap 'echo $n; exit' TERM; echo ready
                  while :; do sleep 0.02; done";
    let bench = bench();
    let mut running = bench.start(&[], &["sh", "-c", script]);
    running.wait_for("ready\n");
    for _ in 0..50 {
        running.signal(Signal::SIGUSR1);
        running.signal(Signal::SIGWINCH);
    }
    running.signal(Signal::SIGTERM);
    let ran = running.end();
    assert!(ran.exits(0).out.trim().parse::<u32>().unwrap() >= 1, "{}", ran.out);
}

#[test]
fn a_command_that_is_stopped_stops_the_runtime_and_both_continue() {
    let bench = bench();
    let running = bench.start(&[], &["sleep", "300"]);
    let state = |pid: i32| kiste_tests::host::status(pid, "State").chars().next();
    // SIGTSTP would not do. Without job control, as in CI, the process group is
    // orphaned, and the kernel does not stop an orphaned group by that signal.
    kill(Pid::from_raw(running.pid), Signal::SIGSTOP).unwrap();
    let both = |wanted: char| {
        let there = [running.pid, running.runtime()]
            .iter()
            .all(|pid| state(*pid) == Some(wanted));
        there.then_some(())
    };
    eventually(|| both('T')).expect("both are stopped");
    running.signal(Signal::SIGCONT);
    eventually(|| both('S')).expect("both continue");
    kill(Pid::from_raw(running.pid), Signal::SIGTERM).unwrap();
    running.end().exits(143);
}
