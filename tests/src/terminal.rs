//! A program on a real terminal: a pty of 24 rows and 100 columns, on which the test
//! types.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command};

use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::stat::Mode;

use crate::{eventually, host, timeout};

/// A program on a terminal of its own.
pub struct Terminal {
    keyboard: File,
    program: Child,
    /// Kept open, so that the test can read the terminal's settings after the program's
    /// end.
    pub tty: OwnedFd,
    seen: String,
}

impl Terminal {
    /// Starts a program as the leader of a session with this controlling terminal, by
    /// setsid(1).
    pub fn start(exe: &Path, dir: &Path, arguments: &[OsString]) -> Self {
        let mut arguments = arguments.to_vec();
        arguments.insert(0, exe.into());
        Terminal::start_command(dir, &arguments)
    }

    /// Does the same with any program, such as a shell in which the test types.
    pub fn start_command(dir: &Path, arguments: &[OsString]) -> Self {
        let (main, tty) = pty().expect("open a pty");
        let open_tty = || tty.try_clone().expect("another descriptor of the terminal");
        set_size(open_tty(), 24, 100);
        let program = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .args(arguments)
            .current_dir(dir)
            .env("TERM", "dumb")
            .env("PS1", "$ ")
            .stdin(open_tty())
            .stdout(open_tty())
            .stderr(open_tty())
            .spawn()
            .expect("start setsid, of util-linux");
        let keyboard = main
            .as_fd()
            .try_clone_to_owned()
            .expect("another descriptor of the pty")
            .into();
        Terminal { keyboard, program, tty: tty.into(), seen: String::new() }
    }

    /// Types: `"ls\n"`, `"\x03"` for Ctrl-C.
    pub fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("type");
    }

    /// Types a long text until the terminal has taken nothing for a while, as when the
    /// program does not read. Returns how much was taken.
    pub fn paste(&mut self, text: &str) -> usize {
        let flags = OFlag::from_bits_truncate(
            fcntl(&self.keyboard, FcntlArg::F_GETFL).unwrap(),
        );
        fcntl(&self.keyboard, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).unwrap();
        let (mut taken, mut last) = (0, std::time::Instant::now());
        while taken < text.len() && last.elapsed() < std::time::Duration::from_secs(1) {
            self.read();
            if let Ok(count) =
                nix::unistd::write(&self.keyboard, &text.as_bytes()[taken..])
            {
                (taken, last) = (taken + count, std::time::Instant::now());
            }
        }
        fcntl(&self.keyboard, FcntlArg::F_SETFL(flags)).unwrap();
        taken
    }

    /// Closes the window: the terminal hangs up. The program may go on.
    pub fn close(&mut self) {
        self.keyboard = File::open("/dev/null").unwrap();
        self.tty = File::open("/dev/null").unwrap().into();
    }

    /// Waits until the terminal shows this text, and returns everything up to there.
    #[track_caller]
    pub fn shows(&mut self, text: &str) -> String {
        let start = std::time::Instant::now();
        let mut quiet = 0;
        loop {
            if let Some(at) = self.seen.find(text) {
                return self.seen.drain(..at + text.len()).collect();
            }
            assert!(
                start.elapsed() < timeout(),
                "expected {text:?}, and the terminal shows:\n{}",
                self.seen
            );
            quiet = if self.read() { 0 } else { quiet + 1 };
            // The program has ended; output still in the pty gets another second.
            assert!(
                quiet < 50 || matches!(self.program.try_wait(), Ok(None)),
                "the program has ended; expected {text:?}, and the terminal shows:\n{}",
                self.seen
            );
        }
    }

    /// Waits for the end of the program. Returns its exit code and the rest of its
    /// output.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> (i32, String) {
        let status = eventually(|| {
            (0..100).take_while(|_| self.read()).for_each(drop);
            self.program.try_wait().unwrap()
        });
        let status = status.unwrap_or_else(|| {
            panic!("the program does not end; the terminal shows:\n{}", self.seen)
        });
        while self.read() {}
        (status.code().unwrap_or(-1), std::mem::take(&mut self.seen))
    }

    /// Changes the size of the window.
    pub fn resize(&self, rows: u16, columns: u16) {
        set_size(self.tty.try_clone().unwrap().into(), rows, columns);
    }

    /// Returns the settings of the terminal, in the form that stty(1) can read again.
    pub fn settings(&self) -> String {
        let stty = Command::new("stty")
            .arg("-g")
            .stdin(self.tty.try_clone().unwrap())
            .output();
        String::from_utf8(stty.expect("run stty").stdout).unwrap()
    }

    /// Returns the process id of setsid, which waits for the program.
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    /// Reads the output that the terminal shows now. Returns false if there is no new
    /// output.
    fn read(&mut self) -> bool {
        let mut ready = [PollFd::new(self.keyboard.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::from(20u8)).is_ok_and(|count| count > 0) {
            let mut bytes = [0; 4096];
            let length = nix::unistd::read(&self.keyboard, &mut bytes).unwrap_or(0);
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
            return length > 0;
        }
        false
    }
}

/// Opens both ends of a pty. openpty(3) does not set close-on-exec: programs of other
/// tests would inherit both ends, and then closing one end would not hang up.
///
/// # Errors
/// When the kernel has no more ptys.
pub fn pty() -> nix::Result<(PtyMaster, File)> {
    let main = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
    grantpt(&main)?;
    unlockpt(&main)?;
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let tty = open(ptsname_r(&main)?.as_str(), flags, Mode::empty())?;
    Ok((main, tty.into()))
}

fn set_size(tty: File, rows: u16, columns: u16) {
    let size = [rows, columns].map(|number| number.to_string());
    let stty = Command::new("stty")
        .args(["rows", &size[0], "cols", &size[1]])
        .stdin(tty)
        .status();
    assert!(stty.expect("run stty").success());
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // If only the shell is killed, its jobs are left, and stopped jobs never end.
        if let Ok(None) = self.program.try_wait() {
            host::kill_tree(self.program.id() as i32);
        }
        let _ = self.program.wait();
    }
}

#[test]
fn a_dropped_terminal_ends_all_its_processes_even_stopped_ones() {
    let script = "sleep 300 & kill -STOP $!; setsid sleep 300 & echo ready; wait";
    let command = ["sh", "-c", script].map(OsString::from);
    let mut terminal = Terminal::start_command(Path::new("/"), &command);
    terminal.shows("ready");
    let children = host::children(terminal.id());
    assert_eq!(children.len(), 2);
    drop(terminal);
    children.into_iter().for_each(host::assert_exits);
}
