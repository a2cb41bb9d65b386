//! The parent's end of the container's terminal (pty(7)), between the keys and the
//! screen.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::screen::{MAX_WRITE, Screen};
use crate::sys;

/// The master of the container's terminal, which hangs up when this is dropped.
pub(crate) struct PtyMaster {
    pub(crate) master: OwnedFd,
    /// The container's end. It is kept open so that the terminal does not hang up while
    /// no process inside has it open.
    pub(crate) peer: OwnedFd,
    /// Keys that the terminal has not taken yet.
    pub(crate) unsent_keys: Vec<u8>,
    pub(crate) screen: Screen,
}

impl PtyMaster {
    pub(crate) fn new(master: OwnedFd, screen: Screen) -> Result<Self> {
        rustix::io::ioctl_fionbio(&master, true)
            .context("ioctl(the container's terminal, FIONBIO)")?;
        let peer = sys::peer(master.as_fd())
            .context("ioctl(the container's terminal, TIOCGPTPEER)")?;
        Ok(PtyMaster { master, peer, unsent_keys: Vec::new(), screen })
    }

    /// The descriptors and events to wait for.
    pub(crate) fn interests(&self) -> Vec<PollFd<'_>> {
        let mut wanted = PollFlags::empty();
        // While the screen has output to show, no more is read: it would pile up here.
        wanted.set(PollFlags::POLLIN, self.screen.has_shown_all());
        wanted.set(PollFlags::POLLOUT, !self.unsent_keys.is_empty());
        let master = PollFd::new(self.master.as_fd(), wanted);
        [master].into_iter().chain(self.screen.interest()).collect()
    }

    /// Writes the keys to the terminal, as many as it takes.
    pub(crate) fn write_keys(&mut self) -> Result<()> {
        match rustix::io::write(&self.master, &self.unsent_keys) {
            Ok(taken) => {
                self.unsent_keys.drain(..taken);
                Ok(())
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::IO) => Ok(()),
            Err(error) => {
                Err(error).context("write(the container's terminal), for what is typed")
            }
        }
    }

    /// Moves output to the screen, once the screen has shown all earlier output.
    pub(crate) fn take_output(&mut self) -> Result<()> {
        if self.screen.has_shown_all() {
            self.screen.take(&self.read()?);
        }
        Ok(())
    }

    /// Reads the output that the terminal has now. A CR and its newline are read
    /// together: the terminal always writes both at once.
    fn read(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; MAX_WRITE];
        let mut length = self.read_into(&mut bytes[..MAX_WRITE - 1])?;
        if bytes[..length].ends_with(b"\r") {
            length += self.read_into(&mut bytes[length..=length])?;
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    fn read_into(&self, bytes: &mut [u8]) -> Result<usize> {
        match rustix::io::read(&self.master, bytes) {
            Err(Errno::AGAIN | Errno::INTR | Errno::IO) => Ok(0),
            read => read.context("read(the container's terminal)"),
        }
    }
}
