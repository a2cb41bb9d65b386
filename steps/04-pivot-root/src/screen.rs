//! The stream that shows the output of the container's terminal. Its reader may be
//! slow, or never read. Output that it has not taken is kept here; the relay does not
//! block on it, since it would then be deaf to signals.

use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::termios::{OutputModes, tcgetattr};

use crate::descriptor::{is_ready, reopen};

/// The most bytes to write at once. pipe(7): when poll(2) says that a pipe is writable,
/// it has room for this many.
pub(crate) const AT_ONCE: usize = libc::PIPE_BUF;

/// A stream of ours, and the output that is still to be shown on it.
pub(crate) struct Screen {
    inherited: BorrowedFd<'static>,
    reopened: Option<OwnedFd>,
    waiting: Vec<u8>,
}

impl Screen {
    pub(crate) fn on(inherited: BorrowedFd<'static>) -> Self {
        let reopened = reopen_to_write(inherited);
        Screen { inherited, reopened, waiting: Vec::new() }
    }

    /// Whether all output is shown.
    pub(crate) fn is_free(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The event to wait for, unless all output is shown.
    pub(crate) fn interest(&self) -> Option<PollFd<'_>> {
        (!self.is_free()).then(|| PollFd::new(self.stream(), PollFlags::POLLOUT))
    }

    /// Takes the next output, at most [`AT_ONCE`] bytes.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        if !self.adds_carriage_returns() {
            return self.waiting.extend_from_slice(bytes);
        }
        // The container's terminal has put a CR before each newline. Ours adds another:
        // it is not in raw mode, because no keys come from it or we are in the
        // background.
        for (at, byte) in bytes.iter().enumerate() {
            if !bytes[at..].starts_with(b"\r\n") {
                self.waiting.push(*byte);
            }
        }
    }

    /// Writes as much as the stream takes now. This bypasses std's stdout, which would
    /// wait for a newline.
    pub(crate) fn show(&mut self) -> rustix::io::Result<()> {
        if self.is_free() || !is_ready(self.stream(), PollFlags::POLLOUT) {
            return Ok(());
        }
        match rustix::io::write(self.stream(), &self.waiting) {
            Ok(taken) => self.waiting.drain(..taken),
            Err(Errno::INTR | Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error),
        };
        Ok(())
    }

    fn stream(&self) -> BorrowedFd<'_> {
        self.reopened.as_ref().map_or(self.inherited, AsFd::as_fd)
    }

    /// Whether the stream is a terminal with ONLCR on: termios(3).
    fn adds_carriage_returns(&self) -> bool {
        let both = OutputModes::OPOST | OutputModes::ONLCR;
        tcgetattr(self.stream())
            .is_ok_and(|settings| settings.output_modes.contains(both))
    }
}

/// Opens the same pipe or terminal again, non-blocking. O_NONBLOCK is a flag of the
/// open file description (open(2)), and we share the inherited one with our caller.
///
/// Returns none for a socket, which cannot be opened again, and for another user's
/// terminal. Then the inherited description is written to when poll(2) says that it is
/// writable. Only a terminal may then take less than we write, and we are deaf until it
/// is read.
fn reopen_to_write(inherited: BorrowedFd<'_>) -> Option<OwnedFd> {
    let status = rustix::fs::fstat(inherited).ok()?;
    // A file is not opened again: its offset and O_APPEND are in the description, too.
    if FileType::from_raw_mode(status.st_mode) != FileType::Fifo
        && !inherited.is_terminal()
    {
        return None;
    }
    reopen(inherited, OFlags::WRONLY | OFlags::NONBLOCK).ok()
}
