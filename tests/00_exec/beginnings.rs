//! A command that cannot start: the exit code, and one line that says why.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use kiste_tests::{Fixture, Ran, host};

use crate::fixture;

/// Asserts that stderr has one line with the error, and at most a second line with a
/// hint.
#[track_caller]
fn assert_complains_in_one_line(ran: &Ran, text: &str) {
    ran.assert_stderr_contains(text);
    let lines: Vec<_> = ran.err.lines().collect();
    let one_line = lines[0].starts_with("error: ") && lines[0].contains(text);
    assert!(
        one_line && lines[1..].iter().all(|line| line.starts_with("hint: ")),
        "{}",
        ran.err
    );
    assert!(lines.len() <= 2 && ran.out.is_empty(), "{}{}", ran.out, ran.err);
}

fn write_program(fixture: &Fixture, text: &[u8]) -> String {
    let (text_file, path) =
        (fixture.dir().join("program-text"), fixture.dir().join("program"));
    fs::write(&text_file, text).unwrap();
    host::copy_program(&text_file, &path);
    path.to_str().unwrap().into()
}

#[test]
fn a_missing_command_is_127() {
    let fixture = fixture();
    assert_complains_in_one_line(
        fixture.run(&[], &["no-such-command"]).exits(127),
        "\"no-such-command\": not found",
    );
    assert_complains_in_one_line(
        fixture.run(&[], &["/no/such"]).exits(127),
        "(ENOENT)",
    );
    assert_complains_in_one_line(
        fixture.run(&[], &["/etc/passwd/x"]).exits(127),
        "(ENOTDIR)",
    );
    assert_complains_in_one_line(
        fixture.run(&[], &[""]).exits(127),
        "the command is empty",
    );
}

#[test]
fn a_command_of_a_hundred_thousand_letters_is_reported_as_not_found() {
    let ran = fixture().run(&[], &[&"a".repeat(100_000)]);
    assert_complains_in_one_line(ran.exits(127), "not found in PATH");
    assert!(ran.err.len() < 10_000, "{} bytes", ran.err.len());
    fixture()
        .run(&[], &[&"\u{1}".repeat(100_000)])
        .exits(127)
        .assert_stderr_contains("not found in PATH");
}

#[test]
fn a_directory_in_path_that_we_cannot_search_is_named_when_nothing_is_found() {
    let fixture = fixture();
    let closed = fixture.dir().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let path = format!("PATH={}:/bin", closed.display());
    let run = |command: &str| match nix::unistd::geteuid().is_root() {
        true => fixture.call_as_nobody(["run", "-e", &path, command]),
        false => fixture.run(&["-e", &path], &[command]),
    };
    let ran = run("no-such-command");
    assert_complains_in_one_line(ran.exits(127), "not found in PATH");
    ran.assert_stderr_contains("closed/no-such-command: Permission denied (EACCES)");
    run("true").exits(0);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_file_that_is_not_a_program_is_126() {
    let fixture = fixture();
    assert_complains_in_one_line(
        fixture.run(&[], &["/etc/passwd"]).exits(126),
        "it is not executable",
    );
    assert_complains_in_one_line(
        fixture.run(&[], &["/etc"]).exits(126),
        "it is a directory",
    );
}

#[test]
fn a_program_without_a_format_that_the_kernel_knows_is_126() {
    let fixture = fixture();
    let plain = write_program(&fixture, b"echo no interpreter is named\n");
    let ran = fixture.run(&[], &[&plain]);
    assert_complains_in_one_line(ran.exits(126), "(ENOEXEC)");
    ran.assert_stderr_contains("hint: it is neither a program for this machine nor a script that begins with #!");
}

#[test]
fn a_program_that_is_open_for_writing_is_126() {
    let fixture = fixture();
    let busy = write_program(&fixture, b"#!/bin/sh\necho it runs\n");
    let open = fs::OpenOptions::new().append(true).open(&busy).unwrap();
    let ran = fixture.run(&[], &[&busy]);
    drop(open);
    assert_complains_in_one_line(ran.exits(126), "(ETXTBSY)");
    assert!(!ran.err.contains("hint:"), "the cause is not known: {}", ran.err);
}

#[test]
fn the_missing_interpreter_of_a_script_is_named() {
    let fixture = fixture();
    let script = write_program(&fixture, b"#!/no/such/interpreter -e\n");
    let ran = fixture.run(&[], &[&script]);
    assert_complains_in_one_line(
        ran.exits(126),
        "asks for \"/no/such/interpreter\", which is not there",
    );
}

#[test]
fn the_missing_loader_of_a_program_is_named() {
    let fixture = fixture();
    let mut bytes = fs::read("/bin/true").unwrap();
    // The loader in its PT_INTERP: "/lib64/ld-linux-x86-64.so.2" or
    // "/lib/ld-musl-x86_64.so.1".
    let at = bytes
        .windows(4)
        .position(|four| four == b"/ld-")
        .expect("/bin/true has a loader");
    bytes[at + 1] = b'X';
    let program = write_program(&fixture, &bytes);
    let ran = fixture.run(&[], &[&program]);
    assert_complains_in_one_line(ran.exits(126), "/Xd-");
    ran.assert_stderr_contains("which is not there");
}

#[test]
fn the_error_for_a_program_for_another_machine_names_both_machines() {
    let fixture = fixture();
    let mut bytes = fs::read("/bin/true").unwrap();
    let sparc64 = 43u16;
    bytes[18..20].copy_from_slice(&sparc64.to_le_bytes());
    let program = write_program(&fixture, &bytes);
    let ran = fixture.run(&[], &[&program]);
    assert_complains_in_one_line(ran.exits(126), "it is a program for sparc64");
    ran.assert_stderr_contains(&format!("this machine is {}", std::env::consts::ARCH));
    assert!(!ran.err.contains("not there"), "{}", ran.err);
}

#[test]
fn a_first_line_that_is_too_long_is_not_blamed_on_a_missing_interpreter() {
    let fixture = fixture();
    let deep = fixture.dir().join("d".repeat(120)).join("e".repeat(120));
    fs::create_dir_all(&deep).unwrap();
    symlink("/bin/sh", deep.join("sh")).unwrap();
    let line = format!("#!{}/sh\necho it runs\n", deep.display());
    let program = write_program(&fixture, line.as_bytes());
    let ran = fixture.run(&[], &[&program]);
    assert_complains_in_one_line(
        ran.exits(126),
        "the kernel reads 255 bytes of the line",
    );
    assert!(!ran.err.contains("not there"), "{}", ran.err);
}

#[test]
fn a_program_is_looked_for_in_the_path_of_the_command_and_not_of_the_caller() {
    let fixture = fixture();
    write_program(&fixture, b"#!/bin/sh\necho found\n");
    let path = format!("PATH=/nowhere:{}", fixture.dir().display());
    fixture.run(&["-e", &path], &["program"]).assert_stdout("found");
    fixture
        .run_under(&["env", &format!("{path}:/bin:/usr/bin")], &[], &["program"])
        .exits(127);
}

#[test]
fn a_program_that_we_cannot_execute_does_not_hide_a_later_one_in_the_path() {
    let fixture = fixture();
    let refused = fixture.dir().join("refused");
    fs::create_dir(&refused).unwrap();
    fs::write(refused.join("program"), "").unwrap();
    write_program(&fixture, b"#!/bin/sh\necho found\n");
    let only = format!("PATH={}", refused.display());
    fixture
        .run(&["-e", &format!("{only}:{}", fixture.dir().display())], &["program"])
        .assert_stdout("found");
    assert_complains_in_one_line(
        fixture.run(&["-e", &only], &["program"]).exits(126),
        "it is not executable",
    );
}

#[test]
fn a_missing_working_directory_is_125() {
    let ran = fixture().run(&["-w", "/no/such"], &["true"]);
    assert_complains_in_one_line(
        ran.exits(125),
        "chdir(/no/such): No such file or directory (ENOENT)",
    );
}

#[test]
fn a_command_that_cannot_start_leaves_no_second_process() {
    let fixture = fixture();
    // A child that returned from the failed exec would run the parent's code, and print
    // a second error.
    let ran = fixture.run(&["--pid-file", "pid"], &["/etc/passwd"]);
    assert_eq!(ran.exits(126).err.matches("error:").count(), 1, "{}", ran.err);
    assert!(!Path::new(&fixture.dir().join("pid")).exists());
    let of_this_fixture = |pid: &str| {
        let cwd = fs::read_link(format!("/proc/{pid}/cwd"));
        cwd.is_ok_and(|cwd| cwd == fixture.dir())
    };
    let processes =
        fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> =
        processes.filter(|pid| of_this_fixture(&pid.to_string_lossy())).collect();
    assert!(left.is_empty(), "{left:?}");
}
