//! The runtime forwards its signals to the command.

use std::process::Command;

use kiste_tests::{eventually, host, require_tool};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::fixture;

#[test]
fn a_signal_sent_to_the_runtime_reaches_the_command() {
    use Signal::*;
    let script = "for s in HUP INT QUIT TSTP USR1 USR2 ALRM TERM WINCH; do trap \"echo got $s\" $s; done
                  echo ready; while :; do sleep 0.02; done";
    let fixture = fixture();
    let mut running = fixture.start(&[], &["sh", "-c", script]);
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
    let fixture = fixture();
    let running = fixture.start(&[], &["sleep", "300"]);
    running.signal(Signal::SIGTERM);
    running.end().exits(143);
    let running = fixture.start(&[], &["sleep", "300"]);
    running.signal(Signal::SIGUSR1);
    running.end().exits(138);
}

#[test]
fn a_real_time_signal_is_forwarded_and_reported_by_its_number() {
    let fixture = fixture();
    let running = fixture.start(&[], &["sleep", "300"]);
    let sent = Command::new("sh")
        .args(["-c", "kill -37 $0", &running.runtime().to_string()])
        .status();
    assert!(sent.unwrap().success());
    running.end().exits(128 + 37);
}

#[test]
fn without_a_terminal_a_signal_to_the_runtimes_group_is_forwarded_by_the_runtime() {
    let fixture = fixture();
    let script = "trap 'echo got it' TERM; echo ready; while :; do sleep 0.02; done";
    let mut running = fixture.start_under(&["setsid"], &[], &["sh", "-c", script]);
    running.wait_for("ready\n");
    let group = |pid: i32| host::stat_field(pid, 5);
    assert_eq!(group(running.runtime()), running.runtime().to_string());
    assert_eq!(group(running.pid), running.pid.to_string());
    killpg(Pid::from_raw(running.runtime()), Signal::SIGTERM).unwrap();
    running.wait_for("got it\n");
}

#[test]
fn an_alarm_that_the_caller_has_set_reaches_the_command() {
    if !require_tool("perl") {
        return;
    }
    // alarm(2): a pending alarm is preserved across an exec.
    let caller = ["perl", "-e", "alarm 1; exec @ARGV"];
    fixture().run_under(&caller, &[], &["sleep", "300"]).exits(128 + 14);
    let script = "trap 'echo it rings; exit 3' ALRM; while :; do sleep 0.02; done";
    let ran = fixture().run_under(&caller, &[], &["sh", "-c", script]);
    assert_eq!(ran.exits(3).out, "it rings\n");
}

#[test]
fn many_signals_at_once_are_not_lost() {
    let script = "n=0; trap 'n=$((n+1))' USR1; trap 'echo $n; exit' TERM; echo ready
                  while :; do sleep 0.02; done";
    let fixture = fixture();
    let mut running = fixture.start(&[], &["sh", "-c", script]);
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
fn without_a_terminal_a_command_that_is_stopped_does_not_stop_the_runtime() {
    let fixture = fixture();
    let running = fixture.start_under(&["setsid"], &[], &["sleep", "300"]);
    let state = |pid: i32| host::status_field(pid, "State").chars().next();
    let becomes = |wanted: char| {
        eventually(|| (state(running.pid) == Some(wanted)).then_some(()))
            .unwrap_or_else(|| panic!("the command does not become {wanted}"))
    };
    kill(Pid::from_raw(running.pid), Signal::SIGSTOP).unwrap();
    becomes('T');
    running.signal(Signal::SIGCONT);
    becomes('S');
    kill(Pid::from_raw(running.pid), Signal::SIGSTOP).unwrap();
    becomes('T');
    running.signal(Signal::SIGTERM);
    running.end().exits(143);
}
