//! The parent's side of the container's terminal: carries bytes, follows the window size, and gives
//! the caller's terminal back as it was.

use std::io::{IsTerminal, stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use exec::{Child, Received, Terminal};
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{getpgrp, getpid, tcgetpgrp};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr, tcsetwinsize};

use crate::sys;
use crate::terminal::window_size;

/// Carries bytes between the caller's streams and the container's terminal, if it has one.
pub struct Relay {
    link: Option<Link>,
    /// Which of our streams shows what the container's terminal shows.
    screen: Screen,
    raw: Option<RawMode>,
    typing: Typing,
}

/// The stream that shows what the container's terminal shows: one that the container has not got
/// itself, or what it prints on two streams would come out mixed on one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Screen {
    Stdout,
    Stderr,
    /// Only keys are read from the terminal: their echo goes where they come from.
    Stdin,
}

/// The container's terminal as the parent holds it.
struct Link {
    main: OwnedFd,
    /// Held so that the terminal does not hang up while nobody inside has it open.
    _peer: OwnedFd,
    /// What was typed and not yet taken.
    typed: Vec<u8>,
}

/// Whether our stdin is typed into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Typing {
    On,
    Off,
}

impl Relay {
    pub(crate) fn new(main: Option<OwnedFd>, screen: Screen) -> Result<Self> {
        let link = main.map(Link::new).transpose()?;
        let typing = if stdin().is_terminal() && link.is_some() { Typing::On } else { Typing::Off };
        let mut relay = Relay { link, screen, raw: None, typing };
        relay.enter_raw_mode()?;
        Ok(relay)
    }

    /// Keys go inside as they are; what Ctrl-C means is decided there.
    fn enter_raw_mode(&mut self) -> Result<()> {
        if self.typing == Typing::On && self.raw.is_none() && in_foreground() {
            self.raw = Some(RawMode::enter()?);
        }
        Ok(())
    }

    /// A job in the background must not read the terminal: SIGTTIN would stop it.
    fn may_read(&self) -> bool {
        let waiting = self.link.as_ref().is_some_and(|link| !link.typed.is_empty());
        self.typing == Typing::On && !waiting && self.raw.is_some()
    }

    fn read_typed(&mut self) -> Result<()> {
        let mut bytes = [0; 4096];
        let length = match rustix::io::read(stdin(), &mut bytes) {
            Ok(length) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(Errno::IO) => 0,
            Err(error) => return Err(error).context("read what is typed"),
        };
        let Some(link) = &mut self.link else { return Ok(()) };
        if length == 0 {
            self.typing = Typing::Off;
            if !stdin().is_terminal() {
                self.link = None; // the caller's terminal has gone, and so goes the container's
            }
            return Ok(());
        }
        link.typed.extend_from_slice(&bytes[..length]);
        Ok(())
    }
}

impl Terminal for Relay {
    fn interests(&self) -> Vec<PollFd<'_>> {
        let Some(link) = &self.link else { return Vec::new() };
        let wanted =
            if link.typed.is_empty() { PollFlags::POLLIN } else { PollFlags::POLLIN | PollFlags::POLLOUT };
        let mut interests = vec![PollFd::new(link.main.as_fd(), wanted)];
        if self.may_read() {
            interests.push(PollFd::new(rustix::stdio::stdin(), PollFlags::POLLIN));
        }
        interests
    }

    fn relay(&mut self) -> Result<()> {
        self.enter_raw_mode()?; // fg brings a job that runs to the front, and tells it nothing
        if self.may_read() && is_readable() {
            self.read_typed()?;
        }
        let Some(link) = &mut self.link else { return Ok(()) };
        link.pass_typed()?;
        link.pass_output(self.screen).map(drop)
    }

    fn on_signal(&mut self, received: &Received, child: &Child) -> Result<bool> {
        match received.signal {
            Signal::SIGWINCH => {
                if let (Some(link), Some(size)) = (&self.link, window_size()) {
                    let _ = tcsetwinsize(&link.main, size); // the next one will do
                }
                Ok(true)
            }
            Signal::SIGCONT => {
                self.enter_raw_mode()?;
                Ok(false)
            }
            // It is in a session of its own, so keys at the caller's terminal do not reach it.
            Signal::SIGINT | Signal::SIGQUIT if !received.was_sent => {
                child.signal(received.signal)?;
                Ok(true)
            }
            // The caller's terminal has gone, and so goes the container's: a shell on it ends.
            Signal::SIGHUP if !received.was_sent => {
                self.link = None;
                child.signal(received.signal)?;
                Ok(true)
            }
            Signal::SIGTSTP if !received.was_sent => {
                self.suspend(child)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn suspend(&mut self, child: &Child) -> Result<()> {
        self.raw = None;
        kill(getpid(), Signal::SIGSTOP)?; // the caller's shell takes over here, until fg or bg
        self.enter_raw_mode()?;
        child.signal(Signal::SIGCONT)
    }

    fn release(&mut self, _child: &Child) -> Result<()> {
        if let Some(link) = &mut self.link {
            while link.pass_output(self.screen)? > 0 {}
        }
        self.raw = None;
        Ok(())
    }
}

impl Link {
    fn new(main: OwnedFd) -> Result<Self> {
        rustix::io::ioctl_fionbio(&main, true)?;
        let _peer = sys::peer(main.as_fd()).context("hold the container's terminal open")?;
        Ok(Link { main, _peer, typed: Vec::new() })
    }

    fn pass_typed(&mut self) -> Result<()> {
        match rustix::io::write(&self.main, &self.typed) {
            Ok(taken) => {
                self.typed.drain(..taken);
                Ok(())
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::IO) => Ok(()),
            Err(error) => Err(error).context("type into the container's terminal"),
        }
    }

    /// Passes on what is there, and says how much that was.
    fn pass_output(&mut self, screen: Screen) -> Result<usize> {
        let mut bytes = [0; 4096];
        match rustix::io::read(&self.main, &mut bytes) {
            Ok(length) => {
                screen.show(&bytes[..length])?;
                Ok(length)
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::IO) => Ok(0),
            Err(error) => Err(error).context("read the container's terminal"),
        }
    }
}

impl Screen {
    /// Shows it as it is; std's own stdout would wait for a newline.
    fn show(self, mut bytes: &[u8]) -> Result<()> {
        let stream = match self {
            Screen::Stdout => rustix::stdio::stdout(),
            Screen::Stderr => rustix::stdio::stderr(),
            Screen::Stdin => rustix::stdio::stdin(),
        };
        while !bytes.is_empty() {
            match rustix::io::write(stream, bytes) {
                Ok(taken) => bytes = &bytes[taken..],
                Err(Errno::INTR) => {}
                // Whoever shares the stream with us has made it non-blocking: open(2), O_NONBLOCK.
                Err(Errno::AGAIN) => wait_until_writable(stream),
                // Nobody reads any more; the command finds out when it ends.
                Err(Errno::PIPE | Errno::IO | Errno::BADF) => return Ok(()),
                Err(error) => return Err(error).context("write what the container prints"),
            }
        }
        Ok(())
    }
}

/// The caller's terminal in raw mode. Dropping it gives it back as it was.
struct RawMode(Termios);

impl RawMode {
    fn enter() -> Result<Self> {
        let before = tcgetattr(stdin()).context("read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        if !stdout().is_terminal() {
            // `run ls | less`: others print on this terminal too, and count on its newlines.
            raw.output_modes = before.output_modes;
        }
        tcsetattr(stdin(), OptionalActions::Drain, &raw).context("set the terminal to raw mode")?;
        Ok(RawMode(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.0); // it may have been closed
    }
}

/// Whether we may read and set the terminal: a job in the background may not. Where it is not the
/// terminal of our session, there are no jobs on it (ENOTTY).
fn in_foreground() -> bool {
    match tcgetpgrp(stdin()) {
        Ok(group) => group == getpgrp(),
        Err(error) => error == nix::errno::Errno::ENOTTY,
    }
}

fn wait_until_writable(stream: BorrowedFd<'_>) {
    let mut ready = [PollFd::new(stream, PollFlags::POLLOUT)];
    let _ = nix::poll::poll(&mut ready, nix::poll::PollTimeout::NONE); // the next write tells
}

fn is_readable() -> bool {
    let mut ready = [PollFd::new(rustix::stdio::stdin(), PollFlags::POLLIN)];
    nix::poll::poll(&mut ready, nix::poll::PollTimeout::ZERO).is_ok_and(|count| count > 0)
}
