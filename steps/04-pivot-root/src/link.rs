//! The container's terminal as the parent holds it, between the keys and the screen.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::screen::{AT_ONCE, Screen};
use crate::sys;

/// The other end of the container's terminal. Dropped, that terminal hangs up.
pub(crate) struct Link {
    pub(crate) main: OwnedFd,
    /// Held so that the terminal does not hang up while nobody inside has it open.
    pub(crate) peer: OwnedFd,
    /// What was typed and not yet taken.
    pub(crate) typed: Vec<u8>,
    pub(crate) screen: Screen,
}

impl Link {
    pub(crate) fn new(main: OwnedFd, screen: Screen) -> Result<Self> {
        rustix::io::ioctl_fionbio(&main, true)
            .context("ioctl(the container's terminal, FIONBIO)")?;
        let peer = sys::peer(main.as_fd())
            .context("ioctl(the container's terminal, TIOCGPTPEER)")?;
        Ok(Link { main, peer, typed: Vec::new(), screen })
    }

    /// What to wait for.
    pub(crate) fn interests(&self) -> Vec<PollFd<'_>> {
        let mut wanted = PollFlags::empty();
        // or what it prints would pile up here
        wanted.set(PollFlags::POLLIN, self.screen.is_free());
        wanted.set(PollFlags::POLLOUT, !self.typed.is_empty());
        let main = PollFd::new(self.main.as_fd(), wanted);
        [main].into_iter().chain(self.screen.interest()).collect()
    }

    pub(crate) fn pass_typed(&mut self) -> Result<()> {
        match rustix::io::write(&self.main, &self.typed) {
            Ok(taken) => {
                self.typed.drain(..taken);
                Ok(())
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::IO) => Ok(()),
            Err(error) => {
                Err(error).context("write(the container's terminal), for what is typed")
            }
        }
    }

    /// Takes what was printed, once all before it is shown.
    pub(crate) fn take_output(&mut self) -> Result<()> {
        if self.screen.is_free() {
            self.screen.take(&self.read()?);
        }
        Ok(())
    }

    /// Reads what is there. A CR is not parted from its newline: the terminal writes
    /// both at once.
    fn read(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; AT_ONCE];
        let mut length = self.read_into(&mut bytes[..AT_ONCE - 1])?;
        if bytes[..length].ends_with(b"\r") {
            length += self.read_into(&mut bytes[length..=length])?;
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    fn read_into(&self, bytes: &mut [u8]) -> Result<usize> {
        match rustix::io::read(&self.main, bytes) {
            Err(Errno::AGAIN | Errno::INTR | Errno::IO) => Ok(0),
            read => read.context("read(the container's terminal)"),
        }
    }
}
