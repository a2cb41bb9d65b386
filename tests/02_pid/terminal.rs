//! PID 1 on a real terminal.

use std::ffi::OsString;
use std::thread::sleep;
use std::time::Duration;

use kiste_tests::{Terminal, host, keys, require_tool};

use crate::fixture;

#[test]
fn ctrl_c_does_nothing_to_a_pid_1_without_a_handler() {
    let Some(fixture) = fixture() else { return };
    let mut terminal = fixture.at_terminal(&[], &["sed", "-u", "s/^/got /"]);
    terminal.type_in("a line\n");
    terminal.shows("got a line");
    terminal.type_in("\x03");
    terminal.shows("^C");
    terminal.type_in("another\n");
    terminal.shows("got another");
    terminal.type_in("\x04");
    assert_eq!(terminal.wait_for_exit().0, 0);
}

#[test]
fn ctrl_c_ends_the_command_below_init_with_130() {
    let Some(fixture) = fixture() else { return };
    let mut terminal =
        fixture.at_terminal(&["--init"], &["sh", "-c", "echo ready; exec sleep 300"]);
    terminal.shows("ready");
    terminal.type_in("\x03");
    assert_eq!(terminal.wait_for_exit().0, 130);
}

#[test]
fn ctrl_c_reaches_the_command_only_from_the_kernel() {
    let Some(fixture) = fixture() else { return };
    keys::ctrl_c_is_not_sent_again(&fixture, &[]);
    keys::ctrl_c_is_not_sent_again(&fixture, &["--init"]);
}

#[test]
fn ctrl_z_stops_the_command_below_init_and_fg_continues_it() {
    let Some(fixture) = fixture() else { return };
    let program = format!("run={}", fixture.exe().display());
    let shell = ["env", &program, "bash", "--norc", "--noprofile", "-i"];
    let mut terminal =
        Terminal::start_command(fixture.dir(), &shell.map(OsString::from));
    terminal.type_in(
        "$run run --init bash -c 'trap \"echo co\"nt\"inued\" CONT; echo re\"ad\"y
                      until IFS= read -t 0.2 line; do got+=$line; done
                      echo got: $got$line; exit 7'\n",
    );
    // `read -t`: a trap that comes just before the read runs at its end. What has been read
    // by then is kept.
    terminal.shows("ready");
    for _ in 0..2 {
        terminal.type_in("\x1a");
        terminal.shows("Stopped");
        terminal.type_in("echo the shell is \"ba\"ck\n");
        terminal.shows("the shell is back");
        terminal.type_in("fg\n");
        terminal.shows("continued");
        // The shell also continues the init, which forwards SIGCONT to the command. If
        // Ctrl-Z came before that SIGCONT, it would be undone.
        sleep(Duration::from_millis(300));
    }
    terminal.type_in("a line\n");
    terminal.shows("got: a line");
    terminal.type_in("echo code: $?\n");
    terminal.shows("code: 7");
    terminal.type_in("exit\n");
    terminal.wait_for_exit();
}

#[test]
fn a_command_in_a_pipeline_below_sudo_has_the_keyboard() {
    let Some(fixture) = fixture() else { return };
    keys::a_command_in_a_pipeline_below_sudo_has_the_keyboard(&fixture, &[]);
    keys::a_command_in_a_pipeline_below_sudo_has_the_keyboard(&fixture, &["--init"]);
}

#[test]
fn a_pid_1_in_the_background_that_reads_the_terminal_stops_until_fg() {
    let Some(fixture) = fixture().filter(|_| require_tool("bash")) else { return };
    let program = format!("run={}", fixture.exe().display());
    let shell = ["env", &program, "bash", "--norc", "--noprofile", "--noediting", "-i"];
    let mut terminal =
        Terminal::start_command(fixture.dir(), &shell.map(OsString::from));
    terminal.type_in("$run run --pid-file pid sh -c 'read line; echo got: $line' &\n");
    terminal
        .type_in("until [ \"$(jobs -s)\" ]; do sleep 0.01; done; echo sto\"pp\"ed\n");
    terminal.shows("stopped");
    let pid = std::fs::read_to_string(fixture.dir().join("pid")).unwrap();
    assert!(
        host::status_field(pid.trim(), "State").starts_with('T'),
        "PID 1 must not spin"
    );
    terminal.type_in("fg; echo code: $?\n");
    terminal.type_in("a line\n");
    terminal.shows("got: a line");
    terminal.shows("code: 0");
    terminal.type_in("exit\n");
    terminal.wait_for_exit();
}
