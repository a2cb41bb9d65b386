//! A closed stdout, as with `gc | true`. Every subcommand does its work and ends as
//! usual, although its reader has exited.

use std::process::{Command, Stdio};

use kiste_tests::{Fixture, Ran};

use crate::fixture;
use crate::gc::LeftBehind;

/// Runs the program with a stdout whose reader is closed.
fn call_with_closed_stdout(fixture: &Fixture, arguments: &[&str]) -> Ran {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(fixture.exe());
    command.args(arguments).stdin(Stdio::null()).stdout(writer);
    let output = command.output().unwrap();
    let code = output.status.code().expect("the program ends without a signal");
    let err = String::from_utf8_lossy(&output.stderr).into();
    Ran { code, out: String::new(), err }
}

#[test]
fn gc_removes_everything_although_its_stdout_is_closed() {
    let Some(fixture) = fixture() else { return };
    let left = LeftBehind::by_killing(&fixture, fixture.start(&[], &["sleep", "100"]));
    let run_dirs = fixture.run_dirs();
    let gc = ["gc", "--run-dir", run_dirs.to_str().unwrap()];
    let ran = call_with_closed_stdout(&fixture, &gc);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    left.assert_gone();
}

#[test]
fn doctor_and_help_end_as_usual_although_stdout_is_closed() {
    let Some(fixture) = fixture() else { return };
    for arguments in [
        &["doctor"][..],
        &["doctor", "--format", "json"],
        &["--help"],
        &["--version"],
        &["run", "--help"],
        &["gc", "--help"],
        &["doctor", "--help"],
        &["help"],
    ] {
        let usual = fixture.call(arguments);
        let ran = call_with_closed_stdout(&fixture, arguments);
        assert_eq!((ran.code, ran.err), (usual.code, usual.err), "{arguments:?}");
        assert!(!usual.out.is_empty(), "{arguments:?} prints nothing");
    }
}

#[test]
fn run_with_a_closed_stdout_prints_its_report_and_keeps_the_exit_code() {
    let Some(fixture) = fixture() else { return };
    let arguments = fixture.arguments(&["--stats"], &["sh", "-c", "exit 7"]);
    let arguments: Vec<_> = arguments.iter().map(|it| it.to_str().unwrap()).collect();
    let ran = call_with_closed_stdout(&fixture, &arguments);
    ran.exits(7).assert_stderr_contains("memory  ");
}
