//! On a real terminal: Ctrl-C, Ctrl-Z, fg, and the foreground process group.

use std::ffi::OsString;
use std::fs;

use kiste_tests::{Fixture, Terminal, eventually, host, keys};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fixture;

/// Starts a shell with job control on a terminal. In the shell, `$run` is the program.
fn shell_with_jobs(fixture: &Fixture) -> Terminal {
    let program = format!("run={}", fixture.exe().display());
    let words = ["env", &program, "bash", "--norc", "--noprofile", "-i"];
    Terminal::start_command(fixture.dir(), &words.map(OsString::from))
}

/// Returns the process group of a process, and the foreground process group of its
/// terminal: pgrp and tpgid.
fn groups(pid: impl std::fmt::Display) -> (String, String) {
    (host::stat_field(&pid, 5), host::stat_field(&pid, 8))
}

/// Returns the command's process id, which `--pid-file pid` has written.
fn command_pid(fixture: &Fixture) -> String {
    let pid = eventually(|| fs::read_to_string(fixture.dir().join("pid")).ok());
    pid.expect("the pid file is there").trim().into()
}

#[test]
fn the_command_is_the_foreground_job_of_the_terminal() {
    let fixture = fixture();
    let mut terminal = fixture
        .at_terminal(&["--pid-file", "pid"], &["sh", "-c", "echo ready; read line"]);
    terminal.shows("ready");
    let pid = command_pid(&fixture);
    assert_eq!(groups(&pid), (pid.clone(), pid));
    terminal.type_in("\n");
    assert_eq!(terminal.wait_for_exit().0, 0);
}

#[test]
fn ctrl_c_reaches_the_command_only_from_the_kernel() {
    keys::ctrl_c_is_not_sent_again(&fixture(), &[]);
}

#[test]
fn ctrl_c_ends_a_command_that_does_not_handle_it_with_130() {
    let fixture = fixture();
    let mut terminal =
        fixture.at_terminal(&[], &["sh", "-c", "echo ready; exec sleep 300"]);
    terminal.shows("ready");
    terminal.type_in("\x03");
    assert_eq!(terminal.wait_for_exit().0, 130);
}

#[test]
fn ctrl_z_stops_the_command_and_fg_continues_it() {
    let fixture = fixture();
    let mut terminal = shell_with_jobs(&fixture);
    terminal.type_in(
        "$run run sh -c 'echo re\"ad\"y; read line; echo got: $line; exit 7'\n",
    );
    terminal.shows("ready");
    terminal.type_in("\x1a");
    terminal.shows("Stopped");
    terminal.type_in("echo the shell is \"ba\"ck\n");
    terminal.shows("the shell is back");
    terminal.type_in("fg\n");
    terminal.shows("got: $line; exit 7'"); // the shell prints the job that it continues
    terminal.type_in("a line\n");
    terminal.shows("got: a line");
    terminal.type_in("echo code: $?\n");
    terminal.shows("code: 7");
    terminal.type_in("exit\n");
    terminal.wait_for_exit();
}

#[test]
fn a_foreground_job_stops_with_its_command_and_fg_continues_both() {
    let fixture = fixture();
    let mut terminal = shell_with_jobs(&fixture);
    terminal
        .type_in("$run run --pid-file pid sh -c 'echo re\"ad\"y; read line; exit 7'\n");
    terminal.shows("ready");
    let pid: i32 = command_pid(&fixture).parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    terminal.shows("Stopped");
    assert!(host::status_field(pid, "State").starts_with('T'));
    terminal.type_in("fg; echo code: $?\n");
    terminal.type_in("a line\n");
    terminal.shows("code: 7");
    terminal.type_in("exit\n");
    terminal.wait_for_exit();
}

#[test]
fn a_job_in_the_background_that_reads_the_terminal_stops_until_fg() {
    let fixture = fixture();
    let mut terminal = shell_with_jobs(&fixture);
    terminal.type_in("$run run sh -c 'read line; echo got: $line' &\n");
    terminal.shows("$ ");
    terminal.type_in("until [ \"$(jobs -s)\" ]; do sleep 0.01; done\n"); // the shell then reports it
    terminal.shows("Stopped");
    terminal.type_in("fg\n");
    terminal.shows("echo got: $line'");
    terminal.type_in("a line\n");
    terminal.shows("got: a line");
    terminal.type_in("exit\n");
    terminal.wait_for_exit();
}

#[test]
fn a_job_that_ends_in_the_background_leaves_the_terminal_to_the_shell() {
    let fixture = fixture();
    let mut terminal = shell_with_jobs(&fixture);
    nix::unistd::mkfifo(&fixture.dir().join("go"), nix::sys::stat::Mode::S_IRWXU)
        .unwrap();
    // The script forks nothing: dash uses vfork(2), and a Ctrl-Z in the middle of a
    // vfork stops only the child.
    terminal.type_in("$run run --pid-file pid sh -c 'echo re\"ad\"y; read line <go'\n");
    terminal.shows("ready");
    let runtime = host::status_field(command_pid(&fixture), "PPid");
    let (shell, _) = host::session(&runtime);
    terminal.type_in("\x1a");
    terminal.shows("Stopped");
    terminal.type_in("bg; echo >go\n");
    host::assert_exits(runtime);
    let (group, foreground) = groups(shell);
    assert_eq!(foreground, group, "the job took the terminal from the shell");
    terminal.type_in("exit\n");
    terminal.wait_for_exit();
}

#[test]
fn the_caller_gets_the_terminal_back() {
    let fixture = fixture();
    for command in ["true", "no-such-command"] {
        let script =
            "\"$0\" run $1; echo it has ended; read line; echo \"read: $line\"";
        let words = ["sh", "-c", script, fixture.exe().to_str().unwrap(), command];
        let mut terminal =
            Terminal::start_command(fixture.dir(), &words.map(OsString::from));
        // Only the foreground may read the terminal. A shell in the background would
        // stop here.
        terminal.shows("it has ended");
        terminal.type_in("a line\n");
        terminal.shows("read: a line");
        assert_eq!(terminal.wait_for_exit().0, 0);
    }
}

#[test]
fn the_settings_of_the_terminal_do_not_change() {
    let fixture = fixture();
    let mut terminal = fixture.at_terminal(&[], &["sh", "-c", "echo ready; read line"]);
    let before = terminal.settings();
    terminal.shows("ready");
    assert_eq!(terminal.settings(), before);
    terminal.type_in("\n");
    assert_eq!(terminal.wait_for_exit().0, 0);
    assert_eq!(terminal.settings(), before);
}

#[test]
fn a_pipeline_at_a_terminal_does_not_stop_itself() {
    let fixture = fixture();
    let mut terminal = shell_with_jobs(&fixture);
    terminal.type_in("cat | $run run cat | $run run sed -u s/^/got:/\n");
    terminal.type_in("a line\n");
    terminal.shows("got:a line");
    // If a run had taken the foreground, the first cat could not read after this line.
    terminal.type_in("another\n");
    terminal.shows("got:another");
    terminal.type_in("\x04");
    terminal.type_in("echo code: $?\n");
    terminal.shows("code: 0");
    terminal.type_in("exit\n");
    terminal.wait_for_exit();
}

#[test]
fn closing_the_window_ends_a_command_that_neither_reads_nor_prints() {
    let fixture = fixture();
    // The program leads the session of the terminal, as below `ssh -t`. The kernel
    // sends SIGHUP only to the program.
    let run = format!("exec {} run --pid-file pid sleep 1000", fixture.exe().display());
    let mut terminal =
        Terminal::start_command(fixture.dir(), &["sh", "-c", &run].map(OsString::from));
    let pid = command_pid(&fixture);
    terminal.close();
    host::assert_exits(pid);
    terminal.wait_for_exit();
}

#[test]
fn a_command_in_a_pipeline_below_sudo_has_the_keyboard() {
    if nix::unistd::geteuid().is_root() {
        keys::a_command_in_a_pipeline_below_sudo_has_the_keyboard(&fixture(), &[]);
    } else {
        kiste_tests::report_missing(
            "root",
            "only root can use sudo here without a password",
        );
    }
}
