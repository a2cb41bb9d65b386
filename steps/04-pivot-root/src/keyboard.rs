//! The caller's keys. In the foreground, they go into the container as they are.

use std::io::{IsTerminal, stdin};
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::background::{self, Background};
use crate::callers_terminal::{RawMode, in_foreground};
use crate::descriptor::is_ready;
use crate::pty::PtyMaster;

/// The caller's keyboard, on stdin.
pub(crate) struct Keyboard {
    typing: Typing,
    /// Set while we are in the foreground.
    raw: Option<RawMode>,
    /// Set while we are in the background: a timer, to check whether a program inside
    /// waits for keys.
    background: Option<Background>,
}

/// Whether keys go into the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Typing {
    On,
    /// Only once the user brings us to the foreground. We have asked for it, but no
    /// shell could continue us there.
    Later,
    Off,
}

/// The outcome of a read.
pub(crate) enum Typed {
    Keys(Vec<u8>),
    Nothing,
    /// The caller's terminal is closed.
    HungUp,
}

impl Keyboard {
    /// The keyboard for a container with or without a terminal of its own.
    pub(crate) fn new(has_terminal: bool) -> Self {
        let typing = if has_terminal && stdin().is_terminal() {
            Typing::On
        } else {
            Typing::Off
        };
        Keyboard { typing, raw: None, background: None }
    }

    /// In the foreground: puts the caller's terminal into raw mode, so that Ctrl-C is
    /// interpreted inside. In the background: asks for the foreground once a program
    /// inside waits for keys.
    pub(crate) fn take(&mut self, pty: &PtyMaster) -> Result<()> {
        if self.typing == Typing::Off || self.raw.is_some() {
            return Ok(());
        }
        if self.is_wanted(pty) && background::ask_for_foreground().is_err() {
            (self.typing, self.background) = (Typing::Later, None);
        }
        if in_foreground() {
            self.raw = Some(RawMode::enter()?);
            (self.typing, self.background) = (Typing::On, None);
        } else if self.typing == Typing::On && self.background.is_none() {
            self.background = Some(Background::enter()?);
        }
        Ok(())
    }

    /// Whether a program inside waits for keys. This is checked only when the timer has
    /// expired.
    fn is_wanted(&self, pty: &PtyMaster) -> bool {
        self.background.as_ref().is_some_and(Background::is_due)
            && background::waits_for_keys(pty.master.as_fd(), pty.peer.as_fd())
    }

    /// Whether we may read stdin. From the background SIGTTIN would stop us.
    fn may_read(&self) -> bool {
        self.typing != Typing::Off && self.raw.is_some()
    }

    /// The descriptors and events to wait for, while `pty` can take keys.
    pub(crate) fn interests(&self, pty: &PtyMaster) -> Vec<PollFd<'_>> {
        let keys = (self.may_read() && pty.unsent_keys.is_empty())
            .then(|| PollFd::new(rustix::stdio::stdin(), PollFlags::POLLIN));
        keys.into_iter()
            .chain(self.background.as_ref().map(Background::interest))
            .collect()
    }

    /// Reads the keys that were typed, if `pty` can take them.
    pub(crate) fn read(&mut self, pty: &PtyMaster) -> Result<Typed> {
        if !self.may_read()
            || !pty.unsent_keys.is_empty()
            || !is_ready(rustix::stdio::stdin(), PollFlags::POLLIN)
        {
            return Ok(Typed::Nothing);
        }
        let mut bytes = vec![0; 4096];
        let length = match rustix::io::read(stdin(), &mut bytes) {
            Ok(length) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Typed::Nothing),
            Err(Errno::IO) => 0,
            Err(error) => return Err(error).context("read(stdin), for what is typed"),
        };
        bytes.truncate(length);
        Ok(match length {
            0 if stdin().is_terminal() => {
                self.typing = Typing::Off;
                Typed::Nothing
            }
            0 => Typed::HungUp,
            _ => Typed::Keys(bytes),
        })
    }

    /// Restores the caller's terminal, until [`Keyboard::take`] is called again.
    pub(crate) fn release(&mut self) {
        self.raw = None;
    }

    /// Restores the input settings only: Ctrl-C sends us SIGINT again.
    pub(crate) fn restore_input(&self) {
        self.raw.iter().for_each(RawMode::restore_input);
    }

    /// Restores the caller's terminal, for good.
    pub(crate) fn close(&mut self) {
        *self = Keyboard { typing: Typing::Off, raw: None, background: None };
    }
}
