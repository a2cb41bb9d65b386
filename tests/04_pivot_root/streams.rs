//! The container never gets the host's terminal, whichever streams are redirected. A
//! process that has a terminal open can type into it (TIOCSTI), and the host's shell
//! would run the typed commands.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;

/// Redirections of the shell, and which of stdin, stdout and stderr they redirect.
const REDIRECTIONS: [(&str, [bool; 3]); 8] = [
    ("", [false, false, false]),
    ("< in", [true, false, false]),
    ("> out", [false, true, false]),
    ("2> err", [false, false, true]),
    ("< in > out", [true, true, false]),
    ("< in 2> err", [true, false, true]),
    ("> out 2> err", [false, true, true]),
    ("< in > out 2> err", [true, true, true]),
];

/// Starts our `run` on a terminal, with these redirections by the host's shell.
fn start(
    fixture: &Fixture,
    redirections: &str,
    options: &[&str],
    command: &[&str],
) -> Terminal {
    fs::write(fixture.dir().join("in"), "input\n").unwrap();
    let script = format!("\"$@\" {redirections}; echo code=$?");
    let mut words = ["sh".into(), "-c".into(), script.into(), "sh".into()].to_vec();
    words.push(fixture.exe().into());
    words.extend(fixture.arguments(options, command));
    Terminal::start_command(fixture.dir(), &words)
}

#[test]
fn the_container_never_has_the_hosts_terminal() {
    let Some(fixture) = fixture() else { return };
    for (redirections, redirected) in REDIRECTIONS {
        for init in [&[][..], &["--init"]] {
            let pid_file = fixture.dir().join(format!("pid-{}", host::unique()));
            let options = [init, &["--pid-file", pid_file.to_str().unwrap()]].concat();
            let mut terminal =
                start(&fixture, redirections, &options, &["sleep", "1000"]);
            let pid: i32 =
                eventually(|| fs::read_to_string(&pid_file).ok()?.trim().parse().ok())
                    .expect("the container runs");

            let tty_metadata =
                fs::File::from(terminal.tty.try_clone().unwrap()).metadata().unwrap();
            let hosts_terminal = (tty_metadata.dev(), tty_metadata.ino());
            for number in 0..3 {
                assert_ne!(
                    host::stream(pid, number),
                    hosts_terminal,
                    "{redirections:?} {init:?}: stream {number}"
                );
                let link = fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
                assert_eq!(
                    link == Path::new("/dev/pts/0"),
                    !redirected[number as usize],
                    "{redirections:?}: {link:?}"
                );
            }
            let (session, tty) = host::session(pid);
            assert_eq!(
                session, pid,
                "the command has left the session of the host's terminal"
            );
            let has_terminal = redirected != [true; 3];
            assert_eq!(
                tty,
                if has_terminal { 0x8800 } else { 0 },
                "{redirections:?}: the controlling terminal of the command"
            );

            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
            terminal.shows("code=137");
        }
    }
}

#[test]
fn each_stream_is_a_terminal_if_the_callers_stream_is_one() {
    let Some(fixture) = fixture() else { return };
    let report = fixture.dir().join("report");
    let volume = format!("{}:/host", fixture.dir().display());
    for (redirections, redirected) in REDIRECTIONS {
        let script = "for n in 0 1 2; do [ -t $n ] && echo terminal || echo other; done > /host/report; \
                      (: < /dev/tty) && echo own >> /host/report";
        let mut terminal =
            start(&fixture, redirections, &["-v", &volume], &["sh", "-c", script]);
        terminal.shows("code=");
        let mut expected = redirected
            .map(|is_redirected| if is_redirected { "other" } else { "terminal" })
            .to_vec();
        expected.extend((redirected != [true; 3]).then_some("own"));
        // `[ -t 1 ]` runs with stdout redirected to the report.
        expected[1] = "other";
        assert_eq!(
            fs::read_to_string(&report).unwrap().lines().collect::<Vec<_>>(),
            expected,
            "{redirections:?}"
        );
    }
}

#[test]
fn output_goes_where_it_is_redirected_to() {
    let Some(fixture) = fixture() else { return };
    for (redirections, redirected) in REDIRECTIONS {
        for file in ["out", "err"] {
            let _ = fs::remove_file(fixture.dir().join(file));
        }
        let script = "echo to stdout; echo to stderr >&2";
        let mut terminal = start(&fixture, redirections, &[], &["sh", "-c", script]);
        let shown = terminal.shows("code=0");
        for (number, file, text) in [(1, "out", "to stdout"), (2, "err", "to stderr")] {
            assert_eq!(
                shown.contains(&format!("{text}\r\n")),
                !redirected[number],
                "{redirections:?}: {shown:?}"
            );
            if redirected[number] {
                let written = fs::read_to_string(fixture.dir().join(file)).unwrap();
                assert_eq!(written, format!("{text}\n"), "{redirections:?}");
            }
        }
    }
}

#[test]
fn the_echo_of_keys_goes_to_the_terminal_and_not_to_the_file() {
    let Some(fixture) = fixture() else { return };
    let script = "read line; echo got $line";
    let mut terminal = start(&fixture, "> out 2> err", &[], &["sh", "-c", script]);
    eventually(|| fixture.dir().join("err").exists().then_some(())).unwrap();
    terminal.type_in("something\n");
    terminal.shows("something");
    terminal.shows("code=0");
    assert_eq!(
        fs::read_to_string(fixture.dir().join("out")).unwrap(),
        "got something\n"
    );
    assert_eq!(fs::read_to_string(fixture.dir().join("err")).unwrap(), "");
}

#[test]
fn lines_through_a_pipe_begin_in_the_first_column() {
    let Some(fixture) = fixture() else { return };
    let mut terminal = start(
        &fixture,
        "| cat",
        &[],
        &["sh", "-c", "echo one; echo two; sleep 0.3; echo three"],
    );
    assert_eq!(terminal.shows("code=0"), "one\r\ntwo\r\nthree\r\ncode=0");
}

#[test]
fn a_pipe_on_stdin_is_passed_on_with_its_end_of_file() {
    let Some(fixture) = fixture() else { return };
    let mut child = Command::new(fixture.exe())
        .args(fixture.arguments(&[], &["wc", "-c"]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&[b'x'; 300_000]).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout),
        "300000\n"
    );
}

/// Starts our `run -t` with a copy of this stdout, which stays open in the test.
fn start_with_stdout(
    fixture: &Fixture,
    stdout: &OwnedFd,
    options: &[&str],
    command: &[&str],
) -> Child {
    let arguments = fixture.arguments(&[&["-t"], options].concat(), command);
    Command::new(fixture.exe())
        .args(arguments)
        .stdout(stdout.try_clone().unwrap())
        .spawn()
        .unwrap()
}

/// Waits until the stream has been full for half a second. A full terminal may pass its
/// input on after a moment, and is then writable again.
pub(super) fn wait_until_full(stdout: &OwnedFd) {
    let mut full_since = Instant::now();
    let stays_full = || {
        if poll(
            &mut [PollFd::new(stdout.as_fd(), PollFlags::POLLOUT)],
            PollTimeout::ZERO,
        ) != Ok(0)
        {
            full_since = Instant::now();
        }
        (full_since.elapsed() > Duration::from_millis(500)).then_some(())
    };
    eventually(stays_full).expect("the command fills the stream");
}

fn pipe() -> (OwnedFd, OwnedFd) {
    nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap()
}

#[test]
fn a_slow_reader_gets_all_output_and_its_pipe_keeps_its_flags() {
    let Some(fixture) = fixture() else { return };
    // perl, python and node make a pipe non-blocking for all processes that share it.
    for flags in [OFlag::empty(), OFlag::O_NONBLOCK] {
        let (reader, writer) = pipe();
        fcntl(&writer, FcntlArg::F_SETFL(flags)).unwrap();
        let mut child = start_with_stdout(
            &fixture,
            &writer,
            &[],
            &["sh", "-c", "head -c 500000 /dev/zero | tr '\\0' x"],
        );
        wait_until_full(&writer);
        let flags_now =
            OFlag::from_bits_truncate(fcntl(&writer, FcntlArg::F_GETFL).unwrap());
        assert_eq!(flags_now & OFlag::O_NONBLOCK, flags);
        drop(writer);
        let text = std::io::read_to_string(fs::File::from(reader)).unwrap();
        assert_eq!((text.len(), child.wait().unwrap().code()), (500_000, Some(0)));
    }
}

#[test]
fn a_signal_ends_the_runtime_although_nobody_reads_its_output() {
    let Some(fixture) = fixture() else { return };
    let (_reader, writer) = pipe();
    let (_peer, socket) = std::os::unix::net::UnixStream::pair().unwrap();
    for (stdout, signal) in
        [(&writer, Signal::SIGTERM), (&socket.into(), Signal::SIGINT)]
    {
        let mut child = start_with_stdout(&fixture, stdout, &["--init"], &["yes"]);
        wait_until_full(stdout);
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let status = eventually(|| child.try_wait().unwrap())
            .expect("the runtime ends, though nobody reads");
        assert_eq!(status.code(), Some(128 + signal as i32));
    }
}

#[test]
fn a_signal_ends_a_runtime_that_waits_for_the_reader_of_the_last_output() {
    let Some(fixture) = fixture() else { return };
    let (_reader, writer) = pipe();
    // More bytes than this pipe holds, but fewer than the container's terminal holds.
    // So the command ends, however few bytes the runtime copies at a time.
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let mut child = start_with_stdout(
        &fixture,
        &writer,
        &[],
        &["sh", "-c", "head -c 6000 /dev/zero | tr '\\0' x; exit 3"],
    );
    wait_until_full(&writer);
    assert_eq!(
        child.try_wait().unwrap(),
        None,
        "the runtime waits until all output is shown"
    );
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    let status = eventually(|| child.try_wait().unwrap())
        .expect("the runtime ends, though nobody reads");
    assert_eq!(status.code(), Some(3), "the exit code of the command");
}

#[test]
fn the_runtime_ends_when_its_reader_closes_the_pipe() {
    let Some(fixture) = fixture() else { return };
    let (reader, writer) = pipe();
    let mut child = start_with_stdout(&fixture, &writer, &[], &["yes"]);
    wait_until_full(&writer);
    drop(reader);
    eventually(|| child.try_wait().unwrap()).expect("the runtime ends, as without -t");
}
