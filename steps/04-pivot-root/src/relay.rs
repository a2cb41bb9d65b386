//! The parent's side of the container's terminal: carries bytes, follows the window
//! size, and gives the caller's terminal back as it was.

use std::io::{IsTerminal, stdin};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use exec::{Child, Received, Signals, Terminal, stop_by};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use rustix::io::Errno;
use rustix::termios::tcsetwinsize;

use crate::background::{self, Background};
use crate::callers_terminal::{RawMode, in_foreground, window_size};
use crate::descriptor::is_ready;
use crate::pty::PtyMaster;
use crate::screen::Screen;

/// Carries bytes between the caller's streams and the container's terminal, if it has
/// one.
pub struct Relay {
    link: Option<PtyMaster>,
    raw: Option<RawMode>,
    /// The timer that has us look for a reader, in the background.
    background: Option<Background>,
    typing: Typing,
    hurry: Hurry,
}

/// Whether our stdin is typed into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Typing {
    On,
    /// Once somebody brings us to the front: nobody heeds what we ask.
    Later,
    Off,
}

/// How long the reader of what it printed last may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hurry {
    /// As long as it likes: `run ls | less`.
    None,
    /// We were told to end: until it has taken nothing for a second.
    ToldToEnd,
}

impl Relay {
    /// `shows` is the stream of ours that shows what the container's terminal shows.
    pub(crate) fn new(
        main: Option<OwnedFd>,
        shows: BorrowedFd<'static>,
    ) -> Result<Self> {
        let link =
            main.map(|main| PtyMaster::new(main, Screen::on(shows))).transpose()?;
        let typing = if stdin().is_terminal() && link.is_some() {
            Typing::On
        } else {
            Typing::Off
        };
        let mut relay =
            Relay { link, raw: None, background: None, typing, hurry: Hurry::None };
        relay.take_keyboard()?;
        Ok(relay)
    }

    /// In the foreground keys go inside as they are; what Ctrl-C means is decided
    /// there. In the background we ask for them once a program inside wants some, as
    /// the kernel would in its place.
    fn take_keyboard(&mut self) -> Result<()> {
        if self.typing == Typing::Off || self.raw.is_some() {
            return Ok(());
        }
        if self.wants_keys() && background::ask().is_err() {
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

    /// Whether a program inside does, looked at when the timer says so.
    fn wants_keys(&self) -> bool {
        let (Some(link), Some(background)) = (&self.link, &self.background) else {
            return false;
        };
        background.is_due()
            && background::wants_keys(link.master.as_fd(), link.peer.as_fd())
    }

    /// A job in the background must not read the terminal: SIGTTIN would stop it.
    fn may_read(&self) -> bool {
        let taken = self.link.as_ref().is_none_or(|link| link.typed.is_empty());
        self.typing != Typing::Off && taken && self.raw.is_some()
    }

    fn read_typed(&mut self) -> Result<()> {
        let mut bytes = [0; 4096];
        let length = match rustix::io::read(stdin(), &mut bytes) {
            Ok(length) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(Errno::IO) => 0,
            Err(error) => return Err(error).context("read(stdin), for what is typed"),
        };
        match &mut self.link {
            Some(link) if length > 0 => link.typed.extend_from_slice(&bytes[..length]),
            _ if stdin().is_terminal() => self.typing = Typing::Off,
            _ => self.hang_up(), // the caller's terminal has gone
        }
        Ok(())
    }

    fn show(&mut self) -> Result<()> {
        let Some(link) = &mut self.link else { return Ok(()) };
        match link.screen.show() {
            // `| head -1`: nobody reads any more, and nobody ever will.
            Err(Errno::PIPE | Errno::IO | Errno::BADF) => self.hang_up(),
            shown => shown.context("write, for what the container prints")?,
        }
        Ok(())
    }

    /// The caller's terminal, or who reads what it shows, has gone, and so goes the
    /// container's: a shell on it ends.
    fn hang_up(&mut self) {
        self.link = None;
        self.typing = Typing::Off;
        self.background = None;
        self.raw = None;
    }

    /// Shows what it printed last.
    fn show_the_rest(&mut self) -> Result<()> {
        let ending = Signals::ending()?;
        if let Some(raw) = &self.raw {
            raw.restore_input();
        }
        while let Some(link) = &mut self.link {
            link.take_output()?;
            let Some(writable) = link.screen.interest() else { return Ok(()) };
            let mut ready = [writable, PollFd::new(ending.as_fd(), PollFlags::POLLIN)];
            let count = match self.hurry {
                Hurry::None => poll(&mut ready, PollTimeout::NONE),
                Hurry::ToldToEnd => poll(&mut ready[..1], PollTimeout::from(1000u16)),
            };
            if count == Ok(0) {
                return Ok(());
            }
            if ready[1].any() == Some(true) {
                self.hurry = Hurry::ToldToEnd;
            }
            self.show()?;
        }
        Ok(())
    }
}

impl Terminal for Relay {
    fn interests(&self) -> Vec<PollFd<'_>> {
        let Some(link) = &self.link else { return Vec::new() };
        let mut interests = link.interests();
        if self.may_read() {
            interests.push(PollFd::new(rustix::stdio::stdin(), PollFlags::POLLIN));
        }
        interests.extend(self.background.as_ref().map(Background::interest));
        interests
    }

    fn relay(&mut self) -> Result<()> {
        // fg brings a job that runs to the front, and tells it nothing
        self.take_keyboard()?;
        if self.may_read() && is_ready(rustix::stdio::stdin(), PollFlags::POLLIN) {
            self.read_typed()?;
        }
        if let Some(link) = &mut self.link {
            link.pass_typed()?;
            link.take_output()?;
        }
        self.show()
    }

    fn on_signal(&mut self, received: &Received, child: &Child) -> Result<bool> {
        let Some(signal) = received.name() else { return Ok(false) };
        if matches!(signal, Signal::SIGINT | Signal::SIGQUIT | Signal::SIGTERM) {
            self.hurry = Hurry::ToldToEnd;
        }
        match signal {
            Signal::SIGWINCH => {
                if let (Some(link), Some(size)) = (&self.link, window_size()) {
                    let _ = tcsetwinsize(&link.master, size); // the next one will do
                }
                Ok(true)
            }
            Signal::SIGCONT => {
                self.take_keyboard()?;
                Ok(false)
            }
            // It is in a session of its own, so keys at the caller's terminal do not
            // reach it.
            Signal::SIGINT | Signal::SIGQUIT if !received.was_sent => {
                child.send_on(received)?;
                Ok(true)
            }
            Signal::SIGHUP if !received.was_sent => {
                self.hang_up();
                child.send_on(received)?;
                Ok(true)
            }
            Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU
                if !received.was_sent =>
            {
                self.suspend(child, received.number)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn suspend(&mut self, child: &Child, signal: i32) -> Result<()> {
        self.raw = None;
        // The caller's shell takes over here, until fg or bg.
        stop_by(signal)?;
        self.take_keyboard()?;
        child.signal(Signal::SIGCONT)
    }

    fn release(&mut self, _child: &Child) -> Result<()> {
        let shown = self.show_the_rest();
        self.raw = None;
        shown
    }
}
