//! The command line: the runtime's options, and the command's arguments.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::fixture;

#[test]
fn run_without_a_command_is_a_usage_error() {
    let fixture = fixture();
    let ran = fixture.call(["run"]);
    ran.exits(2).assert_stderr_contains("Usage: ");
    ran.assert_stderr_contains("COMMAND");
    assert_eq!(ran.out, "");
    fixture.call(["run", "--"]).exits(2).assert_stderr_contains("Usage: ");
    fixture.call([""; 0]).exits(2).assert_stderr_contains("Usage: ");
}

#[test]
fn an_unknown_option_is_a_usage_error_that_names_it() {
    fixture()
        .call(["run", "--no-such-option", "true"])
        .exits(2)
        .assert_stderr_contains("'--no-such-option'");
}

#[test]
fn an_unknown_subcommand_is_never_taken_for_a_command() {
    let ran = fixture().call(["bogus"]);
    ran.exits(2).assert_stderr_contains("'bogus'");
    fixture().call(["echo", "x"]).exits(2);
}

#[test]
fn arguments_reach_the_command_as_they_were_typed() {
    let fixture = fixture();
    fixture.run(&[], &["echo", "a,b"]).assert_stdout("a,b");
    fixture
        .run(&[], &["printf", "<%s>", "two words", "", "$HOME", "*", "a\nb"])
        .assert_stdout("<two words><><$HOME><*><a\nb>");
    fixture.run(&[], &["sh", "-c", "echo $#", "sh", "", ""]).assert_stdout("2");
}

#[test]
fn options_after_the_command_belong_to_the_command() {
    let fixture = fixture();
    fixture.run(&[], &["ls", "-l", "/dev/null"]).exits(0);
    fixture
        .run(&[], &["echo", "--explain", "-e", "A=1", "--help"])
        .assert_stdout("--explain -e A=1 --help");
}

#[test]
fn two_hyphens_end_our_options_and_after_the_command_are_its_argument() {
    let fixture = fixture();
    fixture.run(&["--"], &["echo", "-x"]).assert_stdout("-x");
    fixture.run(&["--"], &["echo", "--", "-x"]).assert_stdout("-- -x");
    fixture.run(&[], &["echo", "--", "-x"]).assert_stdout("-- -x");
    fixture.run(&["--"], &["-x"]).exits(127).assert_stderr_contains("\"-x\"");
}

#[test]
fn an_argument_need_not_be_utf_8() {
    let bytes = OsStr::from_bytes(b"\xff\xfe");
    let arguments = [
        OsStr::new("run"),
        "sh".as_ref(),
        "-c".as_ref(),
        "printf %s \"$0\" | od -An -tx1".as_ref(),
    ];
    let ran = fixture().call(arguments.into_iter().chain([bytes]));
    assert_eq!(ran.exits(0).out.trim(), "ff fe");
}

#[test]
fn the_first_argument_is_the_command_as_it_was_typed() {
    fixture().sh(&[], "tr '\\0' , </proc/$$/cmdline | cut -d, -f1").assert_stdout("sh");
}
