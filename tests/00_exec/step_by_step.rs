//! `--explain=step` shows one call at a time, and waits for the Enter key.

use kiste_tests::{Fixture, Terminal, explain};

use crate::fixture;

/// Returns a fixture of our own program: another has another wording.
fn ours() -> Option<Fixture> {
    Some(fixture()).filter(|fixture| fixture.step().is_ours())
}

fn start(fixture: &Fixture) -> Terminal {
    fixture.at_terminal(&["--explain=step"], &["sh", "-c", "echo o''ut; exit 4"])
}

#[test]
fn each_call_has_its_code_and_a_picture_and_waits_for_enter() {
    let Some(fixture) = ours() else { return };
    let mut terminal = start(&fixture);
    let first = terminal.shows("q: end");
    assert!(first.contains("1. parent: clone3(no new namespace) = "), "{first}");
    assert!(first.contains("steps/00-exec/src/main.rs:"), "{first}");
    assert!(
        first.contains("* process                a copy of the runtime"),
        "{first}"
    );
    terminal.type_in("\n");
    let second = terminal.shows("q: end");
    assert!(second.contains("2. child: prctl("), "{second}");
    terminal.type_in("\n");
    let before = explain::step_to(&mut terminal, "execve(");
    assert!(!before.contains("out"), "the command waits, too: {before}");
    terminal.type_in("\n");
    terminal.shows("out");
    let last = terminal.shows("q: end");
    assert!(last.contains("waitid(") && last.contains("* process"), "{last}");
    terminal.type_in("\n");
    assert_eq!(terminal.wait_for_exit().0, 4);
}

#[test]
fn the_command_has_the_foreground_of_the_terminal_when_it_runs() {
    let Some(fixture) = ours() else { return };
    let script = "read line; echo read $line";
    let mut terminal = fixture.at_terminal(&["--explain=step"], &["sh", "-c", script]);
    explain::step_to(&mut terminal, "execve(");
    terminal.type_in("\n");
    terminal.type_in("typed\n");
    terminal.shows("read typed");
    explain::step_to(&mut terminal, "waitid(");
    terminal.type_in("\n");
    assert_eq!(terminal.wait_for_exit().0, 0);
}

#[test]
fn q_and_ctrl_c_end_the_run_before_its_command() {
    let moments = [
        ("q\n", "clone3("),
        ("q\n", "prctl("),
        ("\x03", "execve("),
        ("\x04", "execve("),
    ];
    for (keys, call) in moments {
        let Some(fixture) = ours() else { return };
        let mut terminal = start(&fixture);
        explain::step_to(&mut terminal, call);
        terminal.type_in(keys);
        let (code, rest) = terminal.wait_for_exit();
        assert_eq!(code, 130, "{keys:?} at {call}: {rest}");
        assert!(!rest.contains("out"), "{keys:?} at {call}: {rest}");
    }
}

#[test]
fn without_a_terminal_it_is_refused() {
    let Some(fixture) = ours() else { return };
    let ran = fixture.run_under(&["setsid"], &["--explain=step"], &["true"]);
    ran.exits(2).assert_stderr_contains("stdin and stderr must be a terminal");
}
