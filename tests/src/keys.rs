//! The keys that the terminal turns into signals, such as Ctrl-C, and the keyboard in a
//! pipeline below sudo.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::{Fixture, Terminal, host, require_tool};

/// Asserts that Ctrl-C reaches the command once: the kernel sends SIGINT, and strace(1)
/// sees that neither the runtime nor an init sends it again. Counting in the command
/// would not do: two pending signals of the same number are delivered as one. Without
/// strace or bash the test is skipped.
#[track_caller]
pub fn ctrl_c_is_not_sent_again(fixture: &Fixture, options: &[&str]) {
    if !require_tool("strace") || !require_tool("bash") {
        return;
    }
    let unique = host::unique();
    let (log, done) = (
        fixture.dir().join(format!("sent-{unique}")),
        fixture.dir().join(format!("done-{unique}")),
    );
    let handle = "trap 'echo interrupted' INT; echo ready; until [ -e \"$0\" ]; do read -t 0.1; done; true";
    let strace = [
        "strace",
        "-f",
        "-qq",
        "-e",
        "signal=none",
        "-e",
        "trace=kill,tkill,tgkill,pidfd_send_signal,poll",
    ];
    let slow = ["-e", "inject=poll:delay_enter=200000"];
    let mut words: Vec<OsString> =
        strace.iter().chain(&slow).map(OsString::from).collect();
    words.extend(["-o".into(), log.clone().into(), fixture.exe().into()]);
    words.extend(
        fixture.arguments(options, &["bash", "-c", handle, done.to_str().unwrap()]),
    );

    let mut terminal = Terminal::start_command(fixture.dir(), &words);
    terminal.shows("ready");
    terminal.type_in("\x03");
    terminal.shows("interrupted");
    fs::write(done, "").unwrap();
    assert_eq!(terminal.wait_for_exit().0, 0);
    let sent = fs::read_to_string(log).unwrap();
    assert!(!sent.contains("SIGINT"), "{sent}");
}

/// Asserts that a container in a pipeline under sudo can read the keyboard. sudo starts
/// the command in the background of a pty of its own (sudoers(5), use_pty), and makes
/// it the foreground when SIGTTIN stops it. Without sudo or mount the test is skipped.
#[track_caller]
pub fn a_command_in_a_pipeline_below_sudo_has_the_keyboard(
    fixture: &Fixture,
    options: &[&str],
) {
    if !require_tool("sudo") || !require_tool("mount") {
        return;
    }
    let sudoers = fixture.dir().join("sudoers");
    fs::write(&sudoers, "Defaults use_pty\nroot ALL = NOPASSWD: ALL\n").unwrap();
    fs::set_permissions(&sudoers, fs::Permissions::from_mode(0o440)).unwrap();
    // The test's sudoers file is seen only in a mount namespace of its own.
    let script = "mount --bind \"$0\" /etc/sudoers && \"$@\" | cat; echo code: $?";
    let enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script];
    let mut words: Vec<OsString> = enter.map(OsString::from).into();
    words.extend([sudoers.into(), "sudo".into(), "-n".into(), fixture.exe().into()]);
    let command = ["sh", "-c", "read line; echo got: $line"];
    words.extend(fixture.arguments(options, &command));

    let mut terminal = Terminal::start_command(fixture.dir(), &words);
    terminal.type_in("a line\n");
    terminal.shows("got: a line");
    terminal.shows("code: 0");
    assert_eq!(terminal.wait_for_exit().0, 0);
}
