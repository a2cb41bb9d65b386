//! A run on a real terminal: a pty, 24 rows of 100 columns, on which the test types.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};

use crate::{eventually, patience};

/// A program on a terminal of its own.
pub struct Terminal {
    keyboard: File,
    program: Child,
    /// Held, so that the test can look at the terminal's settings after the program has ended.
    pub tty: OwnedFd,
    seen: String,
}

impl Terminal {
    /// Starts a program as the leader of a session that has this terminal: setsid(1) does that.
    pub fn start(exe: &Path, dir: &Path, arguments: &[OsString]) -> Self {
        let mut arguments = arguments.to_vec();
        arguments.insert(0, exe.into());
        Terminal::start_any(dir, &arguments)
    }

    /// The same for any program: a shell, in which the test types.
    pub fn start_any(dir: &Path, arguments: &[OsString]) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("open a pty");
        let end = || pty.slave.try_clone().expect("another descriptor of the terminal");
        let program = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .args(arguments)
            .current_dir(dir)
            .env("TERM", "dumb")
            .env("PS1", "$ ")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("start setsid, of util-linux");
        Terminal { keyboard: pty.master.into(), program, tty: pty.slave, seen: String::new() }
    }

    /// Types: `"ls\n"`, `"\x03"` for Ctrl-C.
    pub fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("type");
    }

    /// Waits until this is shown; what is shown up to there is dealt with.
    #[track_caller]
    pub fn shows(&mut self, text: &str) -> String {
        let start = std::time::Instant::now();
        loop {
            if let Some(at) = self.seen.find(text) {
                return self.seen.drain(..at + text.len()).collect();
            }
            assert!(start.elapsed() < patience(), "{text:?} should be shown, and this is:\n{}", self.seen);
            self.read();
        }
    }

    /// Waits for the end of the program, and gives its exit code and what was still shown.
    #[track_caller]
    pub fn ends(&mut self) -> (i32, String) {
        let status = eventually(|| {
            self.read();
            self.program.try_wait().unwrap()
        });
        let status = status.unwrap_or_else(|| panic!("it does not end; shown is:\n{}", self.seen));
        self.read();
        (status.code().unwrap_or(-1), std::mem::take(&mut self.seen))
    }

    /// Another size of the window.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = format!("{rows}");
        let columns = format!("{columns}");
        let stty = Command::new("stty")
            .args(["rows", &size, "cols", &columns])
            .stdin(self.tty.try_clone().unwrap())
            .status();
        assert!(stty.expect("run stty").success());
    }

    /// The settings of the terminal, as stty(1) prints them for itself.
    pub fn settings(&self) -> String {
        let stty = Command::new("stty").arg("-g").stdin(self.tty.try_clone().unwrap()).output();
        String::from_utf8(stty.expect("run stty").stdout).unwrap()
    }

    /// The process id of the program (setsid's, which waits for it).
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    fn read(&mut self) {
        let mut ready = [PollFd::new(self.keyboard.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::from(20u8)).is_ok_and(|count| count > 0) {
            let mut bytes = [0; 4096];
            let length = nix::unistd::read(&self.keyboard, &mut bytes).unwrap_or(0);
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
