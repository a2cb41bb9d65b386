//! The stream that shows the output of the container's terminal. Its reader may be
//! slow, or never read. Output that the reader has not taken is kept here. The relay
//! does not block on the stream, since it could then not handle signals.

use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::termios::{OutputModes, tcgetattr};

use crate::descriptor::{is_ready, reopen};

/// The maximum number of bytes to write at once. pipe(7): when poll(2) says that a pipe
/// is writable, it has room for this many.
pub(crate) const MAX_WRITE: usize = libc::PIPE_BUF;

/// A stream of ours, and the output that is still to be shown on it.
pub(crate) struct Screen {
    inherited: BorrowedFd<'static>,
    reopened: Option<OwnedFd>,
    unshown: Vec<u8>,
}

impl Screen {
    pub(crate) fn on(inherited: BorrowedFd<'static>) -> Self {
        let reopened = reopen_to_write(inherited);
        Screen { inherited, reopened, unshown: Vec::new() }
    }

    /// Whether all output is shown.
    pub(crate) fn has_shown_all(&self) -> bool {
        self.unshown.is_empty()
    }

    /// The event to wait for, unless all output is shown.
    pub(crate) fn interest(&self) -> Option<PollFd<'_>> {
        (!self.has_shown_all()).then(|| PollFd::new(self.stream(), PollFlags::POLLOUT))
    }

    /// Takes the next output, at most [`MAX_WRITE`] bytes.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        if !self.adds_carriage_returns() {
            return self.unshown.extend_from_slice(bytes);
        }
        // The container's terminal has put a CR before each newline. Our terminal adds
        // another CR, since it is not in raw mode: no keys come from it, or we are in
        // the background. So the first CR is left out.
        for (at, byte) in bytes.iter().enumerate() {
            if !bytes[at..].starts_with(b"\r\n") {
                self.unshown.push(*byte);
            }
        }
    }

    /// Writes as much as the stream takes now. This bypasses std's stdout, which would
    /// wait for a newline.
    pub(crate) fn show(&mut self) -> rustix::io::Result<()> {
        if self.has_shown_all() || !is_ready(self.stream(), PollFlags::POLLOUT) {
            return Ok(());
        }
        match rustix::io::write(self.stream(), &self.unshown) {
            Ok(taken) => self.unshown.drain(..taken),
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
/// writable. A terminal, unlike a socket, may then still take less than we write: we
/// block, and handle no signal, until somebody reads the terminal.
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
