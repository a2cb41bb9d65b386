//! The container's own terminal. The host's never goes inside: a process that has a
//! terminal open can type into it (TIOCSTI), and the host's shell would run what is
//! typed into the host's terminal.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Result;
use exec::{Channel, Command};
use kit::Hint;
use mount::inside;
use nix::errno::Errno;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::fs::OFlags;
use rustix::pty::unlockpt;
use rustix::stdio;
use rustix::termios::{Winsize, tcsetwinsize};

use crate::callers_terminal::window_size;
use crate::descriptor::reopen;
use crate::dev;
use crate::relay::Relay;
use crate::sys;

/// The container's terminal: which standard streams are connected to it.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Stdin, stdout and stderr.
    pub streams: [Stream; 3],
    /// The size of its window. Without it, that of the caller's terminal.
    pub size: Option<Winsize>,
}

/// The file that a standard stream of the container is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The container's own terminal.
    Own,
    /// The caller's file or pipe.
    Passed,
}

impl Terminal {
    // ANCHOR: open
    /// In the child: opens a terminal in the container's own /dev/pts, makes it the
    /// controlling terminal of our session, and sends the master to the parent.
    ///
    /// # Errors
    /// The kernel's, from one of these calls.
    pub fn open(self, root: BorrowedFd<'_>, parent: &Channel) -> Result<()> {
        if let Some(terminal) = self.open_without_console(root, parent)? {
            dev::console(root, &terminal)?;
        }
        Ok(())
    }

    /// Opens a terminal as [`Terminal::open`] does, but does not mount it on
    /// /dev/console: for a further process of a container.
    ///
    /// # Errors
    /// As [`Terminal::open`].
    // Task 4.4: our session takes the inner end, and the parent gets the master.
    pub fn open_without_console(
        self,
        root: BorrowedFd<'_>,
        parent: &Channel,
    ) -> Result<Option<OwnedFd>> {
        if !self.exists() {
            return Ok(None);
        }
        // Task 4.4 begins.
        let (master, terminal) = open_pty(root)?;
        set_size(&master, self.size.or_else(window_size))?;
        kit::call("its controlling terminal", "ioctl", "TIOCSCTTY", || {
            rustix::process::ioctl_tiocsctty(&terminal)
        })
        .hint_on(
            Errno::EPERM,
            "the child must lead a session of its own before it takes a terminal",
        )?;
        self.connect(&terminal)?;
        parent.send_descriptor(master.as_fd())?;
        Ok(Some(terminal))
    }
    // ANCHOR_END: open

    /// Returns a terminal of this size on all three standard streams.
    pub fn of_size(size: Option<Winsize>) -> Self {
        Terminal { streams: [Stream::Own; 3], size }
    }

    /// Returns no terminal: all streams are passed on.
    pub fn none() -> Self {
        Terminal { streams: [Stream::Passed; 3], size: None }
    }

    /// Tells whether a standard stream is connected to a terminal of the container.
    pub fn exists(self) -> bool {
        self.streams.contains(&Stream::Own)
    }

    /// Returns the environment variables for a command that does not set them itself.
    /// Programs at a terminal expect TERM, and a caller without a terminal has no TERM.
    /// Docker sets the same value.
    pub fn environment(self) -> Command {
        let env = self.exists().then(|| "TERM=xterm".into()).into_iter().collect();
        Command { env, ..Command::default() }
    }

    /// Puts the terminal in place of the standard streams.
    fn connect(self, terminal: &OwnedFd) -> Result<()> {
        let [input, output, errors] = self.streams.map(|stream| stream == Stream::Own);
        kit::call("instead of the host's", "dup2", "its terminal, 0 1 2", || {
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

    /// In the parent: makes the relay that carries bytes between the caller's terminal
    /// and the container's, by the master that the child has sent.
    ///
    /// # Errors
    /// When the caller's terminal cannot be set up.
    pub fn relay(self, master: Option<OwnedFd>) -> Result<Relay> {
        Relay::new(master, self.output())
    }

    /// The stream of ours that shows the output of the container's terminal. A stream
    /// that is passed to the container is not used: the outputs of two streams would be
    /// mixed on it.
    fn output(self) -> BorrowedFd<'static> {
        match self.streams {
            [_, Stream::Own, _] => stdio::stdout(),
            [_, Stream::Passed, Stream::Own] => stdio::stderr(),
            // The container's terminal is only read from. It prints only the echo of
            // the keys, which is shown on the terminal that the keys come from.
            [_, Stream::Passed, Stream::Passed] => stdio::stdin(),
        }
    }
}

// ANCHOR: open_pty
/// Opens a pty of the container's own devpts, so that its inner end has a name inside:
/// /dev/pts/0. Returns the master and the inner end.
fn open_pty(root: BorrowedFd<'_>) -> Result<(OwnedFd, OwnedFd)> {
    let ptmx = inside::open(root, Path::new("/dev/pts/ptmx"))?;
    let master = kit::call(
        "a new pty in the container's devpts",
        "open",
        "/dev/pts/ptmx",
        || reopen(ptmx.as_fd(), OFlags::RDWR),
    )?;
    kit::call("unlock the other end of the pty", "ioctl", "TIOCSPTLCK, 0", || {
        unlockpt(&master)
    })?;
    let terminal = kit::call("open the other end", "ioctl", "TIOCGPTPEER", || {
        sys::peer(master.as_fd())
    })?;
    Ok((master, terminal))
}
// ANCHOR_END: open_pty

fn set_size(master: &OwnedFd, size: Option<Winsize>) -> Result<()> {
    let Some(size) = size else { return Ok(()) };
    kit::call("the size of the window", "ioctl", "TIOCSWINSZ", || {
        tcsetwinsize(master, size)
    })
}
