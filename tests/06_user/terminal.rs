//! The container's terminal, for the user that the command runs as.

use crate::kernel::owner;
use crate::{any_user, root, root_with_idmapped_mounts, with_ranges};

#[test]
fn without_root_the_container_has_its_own_terminal() {
    let Some(user) = any_user() else { return };
    let script = "tty; stty size; echo /dev/pts/*; : < /dev/tty && echo opened; echo printed > /dev/console";
    let mut terminal = user.at_terminal(&[], &["sh", "-c", script]);
    terminal.shows(
        "/dev/pts/0\r\n24 100\r\n/dev/pts/0 /dev/pts/ptmx\r\nopened\r\nprinted\r\n",
    );
    assert_eq!(terminal.wait_for_exit(), (0, String::new()));
}

#[test]
fn without_root_the_containers_terminal_follows_the_size_of_the_window() {
    let Some(user) = any_user() else { return };
    let script = "echo ready; until [ \"$(stty size)\" = '50 120' ]; do sleep 0.05; done; echo followed";
    let mut terminal = user.at_terminal(&[], &["sh", "-c", script]);
    terminal.shows("ready");
    terminal.resize(50, 120);
    terminal.shows("followed");
    assert_eq!(terminal.wait_for_exit().0, 0);
}

#[test]
fn without_root_ctrl_c_ends_the_job_and_ctrl_d_the_shell() {
    let Some(user) = any_user() else { return };
    let mut terminal = user.at_terminal(&["-e", "PS1=$?> "], &["sh"]);
    terminal.shows("0> ");
    let before = terminal.settings();
    terminal.type_in("sh -c 'echo rea''dy; exec sleep 1000'\n");
    terminal.shows("ready");
    terminal.type_in("\x03");
    terminal.shows("130> ");
    terminal.type_in("\x04");
    assert_eq!(terminal.wait_for_exit().0, 130);
    assert_ne!(terminal.settings(), before, "the terminal has left raw mode");
}

/// The user can open the container's terminal by its name. The host's terminal keeps
/// its owner.
#[test]
fn the_terminal_belongs_to_the_user() {
    let Some(user) = with_ranges() else { return };
    for options in [
        &["-u", "bin"][..],
        &["-u", "1234:99"],
        &["-u", "bin", "--init"],
        &["--userns", "keep-id"],
        &[],
    ] {
        let script =
            "echo opened > $(tty); : < /dev/tty && stat -c %u $(tty) > /tmp/tty; id -u";
        let options = [options, &["--tmpfs", "/tmp:mode=1777"]].concat();
        let script = format!("{script}; [ $(cat /tmp/tty) = $(id -u) ] && echo mine");
        let mut terminal = user.at_terminal(&options, &["sh", "-c", &script]);
        terminal.shows("opened\r\n");
        terminal.shows("mine\r\n");
        assert_eq!(terminal.wait_for_exit().0, 0);
    }
}

#[test]
fn as_root_the_terminal_belongs_to_the_user_and_the_callers_keeps_its_owner() {
    let Some(fixture) = root_with_idmapped_mounts() else { return };
    for options in [&["-u", "bin"][..], &["-u", "bin", "--userns", "auto"]] {
        let script = "echo opened > $(tty); [ $(stat -c %u $(tty)) = 1 ] && echo mine";
        let terminal = &mut fixture.at_terminal(options, &["sh", "-c", script]);
        let tty = std::fs::read_link(format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&terminal.tty)
        ));
        let tty = tty.unwrap();
        let before = owner(&tty);
        assert_eq!(terminal.shows("mine\r\n"), "opened\r\nmine\r\n");
        assert_eq!(terminal.wait_for_exit().0, 0);
        assert_eq!(owner(&tty), before);
    }
}

/// Only stdin is a pipe. The container has its own terminal on stderr, and the caller's
/// terminal keeps its owner.
#[test]
fn a_terminal_on_only_one_stream_is_also_replaced() {
    let Some(fixture) = root() else { return };
    let mut words = ["sh", "-c", "echo piped | \"$@\"", "sh"]
        .map(std::ffi::OsString::from)
        .to_vec();
    words.push(fixture.exe().into());
    words.extend(fixture.arguments(
        &["-u", "bin"],
        &["sh", "-c", "cat; stat -L -c %u:%n /proc/self/fd/2"],
    ));
    let mut terminal = kiste_tests::Terminal::start_command(fixture.dir(), &words);
    let tty = std::fs::read_link(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&terminal.tty)
    ))
    .unwrap();
    let before = owner(&tty);
    terminal.shows("piped\r\n1:/proc/self/fd/2\r\n");
    assert_eq!(terminal.wait_for_exit().0, 0);
    assert_eq!(owner(&tty), before);
}
