//! The command line: the runtime's options, and the command's arguments.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::bench;

#[test]
fn run_without_a_command_is_a_usage_error() {
    let bench = bench();
    let ran = bench.call(["run"]);
    ran.exits(2).complains("Usage: ");
    ran.complains("COMMAND");
    assert_eq!(ran.out, "");
    bench.call(["run", "--"]).exits(2).complains("Usage: ");
    bench.call([""; 0]).exits(2).complains("Usage: ");
}

#[test]
fn an_unknown_option_is_a_usage_error_that_names_it() {
    bench()
        .call(["run", "--no-such-option", "true"])
        .exits(2)
        .complains("'--no-such-option'");
}

#[test]
fn an_unknown_subcommand_is_never_taken_for_a_command() {
    let ran = bench().call(["bogus"]);
    ran.exits(2).complains("'bogus'");
    bench().call(["echo", "x"]).exits(2);
}

#[test]
fn arguments_reach_the_command_as_they_were_typed() {
    let bench = bench();
    bench.run(&[], &["echo", "a,b"]).prints("a,b");
    bench
        .run(&[], &["printf", "<%s>", "two words", "", "$HOME", "*", "a\nb"])
        .prints("<two words><><$HOME><*><a\nb>");
    bench.run(&[], &["sh", "-c", "echo $#", "sh", "", ""]).prints("2");
}

#[test]
fn options_after_the_command_belong_to_the_command() {
    let bench = bench();
    bench.run(&[], &["ls", "-l", "/dev/null"]).exits(0);
    bench
        .run(&[], &["echo", "--explain", "-e", "A=1", "--help"])
        .prints("--explain -e A=1 --help");
}

#[test]
fn two_hyphens_end_our_options_and_after_the_command_are_its_argument() {
    let bench = bench();
    bench.run(&["--"], &["echo", "-x"]).prints("-x");
    bench.run(&["--"], &["echo", "--", "-x"]).prints("-- -x");
    bench.run(&[], &["echo", "--", "-x"]).prints("-- -x");
    bench.run(&["--"], &["-x"]).exits(127).complains("\"-x\"");
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
    let ran = bench().call(arguments.into_iter().chain([bytes]));
    assert_eq!(ran.exits(0).out.trim(), "ff fe");
}

#[test]
fn the_first_argument_is_the_command_as_it_was_typed() {
    bench().sh(&[], "tr '\\0' , </proc/$$/cmdline | cut -d, -f1").prints("sh");
}
