//! Signals to PID 1, and the processes that end together.

use std::thread::sleep;
use std::time::Duration;

use kiste_tests::{eventually, host};
use nix::sys::signal::Signal;

use crate::bench;

#[test]
fn pid_1_ignores_a_signal_that_it_has_no_handler_for() {
    let Some(bench) = bench() else { return };
    bench
        .sh(&[], "kill -TERM $$; kill -HUP $$; kill -KILL $$; echo still here")
        .prints("still here");
    let running = bench.start(&[], &["sleep", "300"]);
    running.signal(Signal::SIGTERM);
    sleep(Duration::from_millis(300));
    assert!(host::is_alive(running.pid));
}

#[test]
fn pid_1_gets_a_signal_that_it_has_a_handler_for() {
    let Some(bench) = bench() else { return };
    let script =
        "trap 'echo got TERM; exit 3' TERM; echo ready; while :; do sleep 0.02; done";
    let mut running = bench.start(&[], &["sh", "-c", script]);
    running.wait_for("ready\n");
    running.signal(Signal::SIGTERM);
    running.wait_for("got TERM\n");
    running.end().exits(3);
}

#[test]
fn a_kill_9_of_the_runtime_ends_the_whole_container() {
    let Some(bench) = bench() else { return };
    let family =
        "sleep 300 & setsid sleep 300 & (setsid sh -c 'sleep 300 & sleep 300' &)
                  echo ready; sleep 300";
    for init in [&[][..], &["--init"]] {
        let mut running = bench.start(init, &["sh", "-c", family]);
        running.wait_for("ready");
        let namespace = host::namespace(running.pid, "pid");
        let grown = || (host::processes_in("pid", &namespace).len() >= 6).then_some(());
        eventually(grown)
            .unwrap_or_else(|| panic!("{:?}", host::processes_in("pid", &namespace)));
        running.signal(Signal::SIGKILL);
        let gone = || host::processes_in("pid", &namespace).is_empty().then_some(());
        eventually(gone).unwrap_or_else(|| {
            panic!("alive: {:?}", host::processes_in("pid", &namespace))
        });
    }
}

#[test]
fn the_end_of_pid_1_ends_the_whole_container() {
    let Some(bench) = bench() else { return };
    for init in [&[][..], &["--init"]] {
        let mut running = bench.start(
            init,
            &["sh", "-c", "setsid sleep 300 >/dev/null 2>&1 & echo ready; read line"],
        );
        running.wait_for("ready");
        let namespace = host::namespace(running.pid, "pid");
        running.type_in("\n");
        running.end().exits(0);
        assert_eq!(host::processes_in("pid", &namespace), [0; 0]);
    }
}

#[test]
fn the_death_of_init_is_the_end_of_the_command() {
    let Some(bench) = bench() else { return };
    let running = bench.start(&["--init"], &["sleep", "300"]);
    let command = host::children(running.pid)[0];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(running.pid), Signal::SIGKILL)
        .unwrap();
    running.end().exits(137);
    assert!(!host::is_alive(command));
}

#[test]
fn with_init_a_stopped_command_stops_the_runtime_and_both_continue() {
    let Some(bench) = bench() else { return };
    let running = bench.start(&["--init"], &["sleep", "300"]);
    let command = host::children(running.pid)[0];
    let state = |pid: i32| host::status(pid, "State").chars().next();
    let both = |wanted: char| {
        (state(command) == Some(wanted) && state(running.runtime()) == Some(wanted))
            .then_some(())
    };
    // SIGTSTP would not do. Without job control, as in CI, the process group is
    // orphaned, and the kernel does not stop an orphaned group by that signal.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(command), Signal::SIGSTOP)
        .unwrap();
    eventually(|| both('T')).expect("both are stopped");
    running.signal(Signal::SIGCONT);
    eventually(|| both('S')).expect("both continue");
}
