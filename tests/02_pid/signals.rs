//! Signals to PID 1, and the processes that end together.

use std::thread::sleep;
use std::time::Duration;

use kiste_tests::{eventually, host};
use nix::sys::signal::Signal;

use crate::fixture;

#[test]
fn pid_1_ignores_a_signal_that_it_has_no_handler_for() {
    let Some(fixture) = fixture() else { return };
    fixture
        .sh(&[], "kill -TERM $$; kill -HUP $$; kill -KILL $$; echo still here")
        .assert_stdout("still here");
    let running = fixture.start(&[], &["sleep", "300"]);
    running.signal(Signal::SIGTERM);
    sleep(Duration::from_millis(300));
    assert!(host::is_alive(running.pid));
}

#[test]
fn pid_1_gets_a_signal_that_it_has_a_handler_for() {
    let Some(fixture) = fixture() else { return };
    let script =
        "trap 'echo got TERM; exit 3' TERM; echo ready; while :; do sleep 0.02; done";
    let mut running = fixture.start(&[], &["sh", "-c", script]);
    running.wait_for("ready\n");
    running.signal(Signal::SIGTERM);
    running.wait_for("got TERM\n");
    running.end().exits(3);
}

#[test]
fn a_kill_9_of_the_runtime_ends_the_whole_container() {
    let Some(fixture) = fixture() else { return };
    let script =
        "sleep 300 & setsid sleep 300 & (setsid sh -c 'sleep 300 & sleep 300' &)
                  echo ready; sleep 300";
    for init in [&[][..], &["--init"]] {
        let mut running = fixture.start(init, &["sh", "-c", script]);
        running.wait_for("ready");
        let namespace = host::namespace(running.pid, "pid");
        let all_started =
            || (host::processes_in("pid", &namespace).len() >= 6).then_some(());
        eventually(all_started)
            .unwrap_or_else(|| panic!("{:?}", host::processes_in("pid", &namespace)));
        running.signal(Signal::SIGKILL);
        let all_ended =
            || host::processes_in("pid", &namespace).is_empty().then_some(());
        eventually(all_ended).unwrap_or_else(|| {
            panic!("alive: {:?}", host::processes_in("pid", &namespace))
        });
    }
}

#[test]
fn the_end_of_pid_1_ends_the_whole_container() {
    let Some(fixture) = fixture() else { return };
    for init in [&[][..], &["--init"]] {
        let mut running = fixture.start(
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
    let Some(fixture) = fixture() else { return };
    let running = fixture.start(&["--init"], &["sleep", "300"]);
    let command = host::children(running.pid)[0];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(running.pid), Signal::SIGKILL)
        .unwrap();
    running.end().exits(137);
    assert!(!host::is_alive(command));
}

#[test]
fn without_a_terminal_a_stopped_command_below_init_does_not_stop_the_runtime() {
    let Some(fixture) = fixture() else { return };
    for script in ["kill -STOP $$; exit 3", "kill -STOP 0; exit 3"] {
        let running =
            fixture.start_under(&["setsid"], &["--init"], &["sh", "-c", script]);
        let command = host::children(running.pid)[0];
        let is_stopped =
            || host::status_field(command, "State").starts_with('T').then_some(());
        eventually(is_stopped).expect("it is stopped");
        running.signal(Signal::SIGTERM);
        running.end().exits(143);
    }
}
