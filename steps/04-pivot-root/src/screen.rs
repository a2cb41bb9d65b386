//! The stream that shows what the container's terminal shows. Its reader may be slow,
//! or never read: what is not taken waits here, and we do not wait with it, or we would
//! be deaf to signals.

use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::termios::{OutputModes, tcgetattr};

use crate::terminal::reopen;

/// How much is written at once. pipe(7): where poll(2) says that there is room, there
/// is for this.
pub(crate) const AT_ONCE: usize = libc::PIPE_BUF;

/// A stream of ours, and what it is still to show.
pub(crate) struct Screen {
    inherited: BorrowedFd<'static>,
    own: Option<OwnedFd>,
    waiting: Vec<u8>,
}

impl Screen {
    pub(crate) fn on(inherited: BorrowedFd<'static>) -> Self {
        Screen { inherited, own: opened_again(inherited), waiting: Vec::new() }
    }

    /// Whether all is shown.
    pub(crate) fn is_free(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What to wait for, unless all is shown.
    pub(crate) fn interest(&self) -> Option<PollFd<'_>> {
        (!self.is_free()).then(|| PollFd::new(self.stream(), PollFlags::POLLOUT))
    }

    /// Takes what is to be shown next, no more than [`AT_ONCE`].
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        if !self.returns_by_itself() {
            return self.waiting.extend_from_slice(bytes);
        }
        // The container's terminal has put a CR before each newline. Ours does so
        // again: it is not in raw mode, because no keys come from it or we are in the
        // background.
        for (at, byte) in bytes.iter().enumerate() {
            if !bytes[at..].starts_with(b"\r\n") {
                self.waiting.push(*byte);
            }
        }
    }

    /// Shows what it can at once, as it is; std's own stdout would wait for a newline.
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
        self.own.as_ref().map_or(self.inherited, AsFd::as_fd)
    }

    /// termios(3), ONLCR.
    fn returns_by_itself(&self) -> bool {
        let both = OutputModes::OPOST | OutputModes::ONLCR;
        tcgetattr(self.stream())
            .is_ok_and(|settings| settings.output_modes.contains(both))
    }
}

/// The same pipe or terminal with an open file description of our own: O_NONBLOCK is a
/// flag of the description (open(2)), and the one that we have inherited is also our
/// caller's. Where that cannot be, as with a socket, the inherited one does: it is
/// written when poll(2) says that there is room. Only a terminal of another user's may
/// have less than it takes; there we are deaf until it is read.
fn opened_again(inherited: BorrowedFd<'_>) -> Option<OwnedFd> {
    let status = rustix::fs::fstat(inherited).ok()?;
    // Not a file: where it is written, and whether at its end, are in its description
    // too.
    if FileType::from_raw_mode(status.st_mode) != FileType::Fifo
        && !inherited.is_terminal()
    {
        return None;
    }
    reopen(inherited, OFlags::WRONLY | OFlags::NONBLOCK).ok()
}

/// Whether a descriptor is ready now.
pub(crate) fn is_ready(descriptor: BorrowedFd<'_>, event: PollFlags) -> bool {
    poll(&mut [PollFd::new(descriptor, event)], PollTimeout::ZERO)
        .is_ok_and(|count| count > 0)
}
