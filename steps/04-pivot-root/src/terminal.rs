//! A terminal of its own. The host's never goes inside: whoever has a terminal open can
//! type into it (TIOCSTI), and what is typed into the host's is run by the host's
//! shell.

use std::io::{IsTerminal, stderr, stdin, stdout};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Result;
use exec::Channel;
use kit::{Failure, Hint};
use mount::inside;
use nix::errno::Errno;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::fs::{Mode, OFlags};
use rustix::pty::unlockpt;
use rustix::stdio;
use rustix::termios::{Winsize, tcgetwinsize, tcsetwinsize};

use crate::dev;
use crate::relay::Relay;
use crate::root::Root;
use crate::sys;

/// The options about the terminal.
#[derive(clap::Args, Clone, Copy, Debug)]
#[group(id = "terminal_options")]
pub struct TerminalArgs {
    /// Give it a terminal of its own; on a terminal this is the default
    ///
    /// Without -t, a file or a pipe is passed on as it is. So `</dev/null 2>&1 | cat`
    /// behind the command turns the default off.
    #[arg(short, long)]
    tty: bool,

    /// Pass stdin on; it always is, so this is for those whose fingers type -it
    #[arg(short, long)]
    interactive: bool,
}

/// Which of the standard streams are to be the container's own terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    streams: [Stream; 3],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    /// The container's own terminal.
    Own,
    /// What the caller has there: a file or a pipe.
    Passed,
}

impl TerminalArgs {
    /// What our own standard streams call for: each that is a terminal is replaced.
    ///
    /// # Errors
    /// When -it asks to type what comes from a pipe: a terminal has no end of input to
    /// pass on.
    pub fn plan(self) -> Result<Terminal> {
        if self.tty && self.interactive && !stdin().is_terminal() {
            let failure = Failure::new("-it: stdin is not a terminal");
            return Err(failure
                .hint("leave out -t, and stdin is passed on as it is")
                .into());
        }
        let ours =
            [stdin().is_terminal(), stdout().is_terminal(), stderr().is_terminal()];
        let stream = |is_terminal| {
            if is_terminal || self.tty { Stream::Own } else { Stream::Passed }
        };
        Ok(Terminal { streams: ours.map(stream) })
    }
}

impl Terminal {
    // ANCHOR: open
    /// In the child: opens a terminal in the container's own /dev/pts, takes it as the
    /// controlling terminal of our session, and hands its other end to the parent.
    ///
    /// # Errors
    /// What the kernel says of the calls it takes.
    // Task 4.3: ptmx of the new devpts, so that the terminal has a name inside:
    // /dev/pts/0.
    pub fn open(self, root: &Root, parent: &Channel) -> Result<()> {
        if !self.streams.contains(&Stream::Own) {
            return Ok(());
        }
        let ptmx = inside::open(root.as_fd(), Path::new("/dev/pts/ptmx"))?;
        let main = kit::call(
            "a new terminal of its own devpts",
            "open",
            "/dev/pts/ptmx",
            || reopen(ptmx.as_fd(), OFlags::RDWR),
        )?;
        kit::call("let its other end be opened", "ioctl", "TIOCSPTLCK, 0", || {
            unlockpt(&main)
        })?;
        let terminal =
            kit::call("the end for the command", "ioctl", "TIOCGPTPEER", || {
                sys::peer(main.as_fd())
            })?;
        if let Some(size) = window_size() {
            kit::call("as big as yours", "ioctl", "TIOCSWINSZ", || {
                tcsetwinsize(&main, size)
            })?;
        }
        kit::call("Ctrl-C and job control go here", "ioctl", "TIOCSCTTY", || {
            rustix::process::ioctl_tiocsctty(&terminal)
        })
        .hint_on(
            Errno::EPERM,
            "the child must lead a session of its own before it takes a terminal",
        )?;
        self.put_in_place(&terminal)?;
        dev::console(root, &terminal)?;
        parent.send_descriptor(main.as_fd())
    }
    // ANCHOR_END: open

    fn put_in_place(self, terminal: &OwnedFd) -> Result<()> {
        let [input, output, errors] = self.streams.map(|stream| stream == Stream::Own);
        kit::call("in place of the host's", "dup2", "its terminal, 0 1 2", || {
            if input {
                dup2_stdin(terminal)?;
            }
            if output {
                dup2_stdout(terminal)?;
            }
            if errors {
                dup2_stderr(terminal)?;
            }
            Ok::<_, Errno>(())
        })
    }

    /// In the parent: what carries bytes between the caller's terminal and the
    /// container's.
    ///
    /// # Errors
    /// When the caller's terminal cannot be set up.
    pub fn relay(self, main: Option<OwnedFd>) -> Result<Relay> {
        Relay::new(main, self.screen())
    }

    /// Which of our streams shows what it shows: one that the container has not got
    /// itself, or what it prints on two streams would come out mixed on one.
    fn screen(self) -> BorrowedFd<'static> {
        match self.streams {
            [_, Stream::Own, _] => stdio::stdout(),
            [_, Stream::Passed, Stream::Own] => stdio::stderr(),
            // Only keys are read from the terminal: their echo goes where they come
            // from.
            [_, Stream::Passed, Stream::Passed] => stdio::stdin(),
        }
    }
}

/// Opens the file that a descriptor stands for once more.
pub(crate) fn reopen(
    descriptor: BorrowedFd<'_>,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    // proc(5): /proc/self/fd leads to the very file, whatever its name is by now.
    let magic = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    rustix::fs::open(magic, flags | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
}

/// The size of the caller's terminal, whichever stream it is on.
pub(crate) fn window_size() -> Option<Winsize> {
    tcgetwinsize(stdin())
        .or_else(|_| tcgetwinsize(stdout()))
        .or_else(|_| tcgetwinsize(stderr()))
        .ok()
}
