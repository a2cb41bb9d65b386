//! The runtime exits with the status of the command.

use std::fs;

use kiste_tests::{host, require_tool};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fixture;

#[test]
fn the_exit_code_is_that_of_the_command() {
    let fixture = fixture();
    fixture.run(&[], &["true"]).exits(0);
    fixture.run(&[], &["false"]).exits(1);
    fixture.sh(&[], "exit 77").exits(77);
    fixture.sh(&[], "exit 255").exits(255);
}

#[test]
fn the_runtime_prints_nothing_when_the_command_fails() {
    let ran = fixture().run(&[], &["false"]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
}

#[test]
fn the_exit_code_of_a_command_that_a_signal_ended_is_128_plus_the_signal() {
    let fixture = fixture();
    for (name, code) in
        [("HUP", 129), ("INT", 130), ("ABRT", 134), ("KILL", 137), ("TERM", 143)]
    {
        fixture.sh(&[], &format!("kill -{name} $$")).exits(code);
    }
}

#[test]
fn only_the_commands_output_is_printed() {
    let ran = fixture().sh(&[], "echo out; echo err >&2");
    assert_eq!((ran.exits(0).out.as_str(), ran.err.as_str()), ("out\n", "err\n"));
}

#[test]
fn the_end_of_stdin_reaches_the_command() {
    let fixture = fixture();
    fixture.run(&[], &["cat"]).assert_stdout("");
    let mut running = fixture.start(&[], &["cat"]);
    running.type_in("a line\n");
    running.end().assert_stdout("a line");
}

#[test]
fn a_background_process_of_the_command_does_not_delay_the_end_of_the_run() {
    let fixture = fixture();
    fixture
        .sh(&[], "sleep 300 >/dev/null 2>&1 </dev/null & echo $! >orphan; exit 5")
        .exits(5);
    let orphan = fs::read_to_string(fixture.dir().join("orphan")).unwrap();
    let orphan = Pid::from_raw(orphan.trim().parse().unwrap());
    kill(orphan, Signal::SIGKILL)
        .expect("the background process lives on without a PID namespace");
}

#[test]
fn a_pipeline_of_runs_does_not_hang() {
    let fixture = fixture();
    let pipeline = r#"echo through | "$0" run cat | "$0" run cat | "$0" run sh -c cat"#;
    fixture.run_through_shell(pipeline).assert_stdout("through");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_without_an_error_of_the_runtime() {
    // 141 means that SIGPIPE ended the command. Rust programs ignore this signal, but
    // the command must not inherit that.
    let script = r#""$0" run yes | head -n 1; echo "${PIPESTATUS[0]}""#;
    let ran = fixture().run_through_shell(script);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("y\n141\n", ""));
}

#[test]
fn closed_standard_descriptors_do_not_hang_or_change_the_exit_code() {
    let fixture = fixture();
    let closed = ["sh", "-c", r#"exec "$0" "$@" <&- >&- 2>&-"#];
    fixture.run_under(&closed, &[], &["true"]).exits(0);
    fixture
        .run_under(&closed, &["--explain"], &["sh", "-c", "echo x; exit 3"])
        .exits(3);
    fixture.run_under(&closed, &[], &["no-such-command"]).exits(127);
}

#[test]
fn a_kill_9_of_the_runtime_kills_the_command() {
    let fixture = fixture();
    let running = fixture.start(&[], &["sleep", "300"]);
    running.signal(Signal::SIGKILL);
    host::assert_exits(running.pid);
}

#[test]
fn a_child_that_dies_before_the_exec_is_reported() {
    if !require_tool("strace") {
        return;
    }
    // strace kills the child at its last call before the exec.
    let kill = "inject=close_range:signal=SIGKILL";
    let strace = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=close_range",
        "-e",
        kill,
    ];
    let ran = fixture().run_under(&strace, &[], &["true"]);
    ran.exits(125)
        .assert_stderr_contains("the child died before it became the command");
}

#[test]
fn a_call_that_fails_in_the_child_is_reported_with_its_reason() {
    if !require_tool("strace") {
        return;
    }
    let refuse = "inject=close_range:error=ENOMEM";
    let strace = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=close_range",
        "-e",
        refuse,
    ];
    let ran = fixture().run_under(&strace, &[], &["true"]);
    ran.exits(125).assert_stderr_contains("error: close_range(all but the channel): ");
    ran.assert_stderr_contains("(ENOMEM)");
}

/// wait(2): while a process ignores SIGCHLD, the kernel reaps its children, and their
/// exit codes are lost.
#[test]
fn a_caller_that_ignores_sigchld_still_learns_the_exit_code() {
    let ran = fixture().run_under(
        &["env", "--ignore-signal=CHLD"],
        &[],
        &["sh", "-c", "exit 7"],
    );
    ran.exits(7);
}
