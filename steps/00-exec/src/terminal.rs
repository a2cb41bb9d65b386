//! Who has the terminal while the command runs.
//!
//! Steps 0 to 3 lend the command the caller's own terminal: it becomes the foreground
//! process group (termios, tcsetpgrp(3)), so that Ctrl-C and Ctrl-Z reach it, and once
//! only.

use std::fs::File;
use std::io::{IsTerminal, stdin, stdout};

use anyhow::{Context, Result};
use nix::poll::PollFd;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgrp, getpid, setpgid, setsid, tcgetpgrp, tcsetpgrp};

use crate::child::Child;
use crate::signals::Received;

/// What becomes of the terminal when a process is spawned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// On a terminal of the caller's: a process group of its own, in the foreground.
    Foreground,
    /// The process group of its parent.
    Inherited,
    /// A session of its own, which has no terminal unless it takes one: setsid(2).
    Session,
}

/// What sits at the terminal for the command, while the parent waits.
pub trait Terminal {
    /// Descriptors to watch; [`Terminal::relay`] is called when one is ready.
    fn interests(&self) -> Vec<PollFd<'_>> {
        Vec::new()
    }

    /// Moves what can be moved.
    ///
    /// # Errors
    /// When the terminal cannot be read or written.
    fn relay(&mut self) -> Result<()> {
        Ok(())
    }

    /// Takes a signal that is about the terminal; true if it was.
    ///
    /// # Errors
    /// When the terminal cannot be changed.
    fn on_signal(&mut self, received: &Received, child: &Child) -> Result<bool>;

    /// The command has stopped, so we stop too; and go on together.
    ///
    /// # Errors
    /// When the terminal cannot be handed over.
    fn suspend(&mut self, child: &Child) -> Result<()>;

    /// The command has ended.
    ///
    /// # Errors
    /// When the terminal cannot be taken back.
    fn release(&mut self, child: &Child) -> Result<()>;
}

impl Job {
    /// In the child: takes its place.
    pub(crate) fn enter(self) -> Result<()> {
        match self {
            Job::Foreground if at_terminal() => take_foreground(),
            Job::Foreground | Job::Inherited => Ok(()),
            Job::Session => {
                kit::call("it leaves the caller's terminal", "setsid", "", setsid)
                    .map(drop)
            }
        }
    }

    pub(crate) fn terminal(self) -> Foreground {
        match self {
            Job::Foreground => Foreground(tty()),
            Job::Inherited | Job::Session => Foreground(None),
        }
    }
}

fn take_foreground() -> Result<()> {
    let Some(tty) = tty().filter(is_foreground) else { return Ok(()) };
    kit::call("a job of its own", "setpgid", "0, 0", || {
        setpgid(Pid::from_raw(0), Pid::from_raw(0))
    })?;
    // SIGTTOU is blocked since before the clone, or this would stop us.
    kit::call("Ctrl-C reaches it alone", "tcsetpgrp", "the terminal", || {
        tcsetpgrp(&tty, getpgrp())
    })
}

/// The caller's terminal, lent to the command.
pub struct Foreground(Option<File>);

impl Terminal for Foreground {
    fn on_signal(&mut self, received: &Received, child: &Child) -> Result<bool> {
        if received.name() != Some(Signal::SIGCONT) {
            return Ok(false);
        }
        self.resume(child)?;
        Ok(true)
    }

    fn suspend(&mut self, child: &Child) -> Result<()> {
        self.release(child)?;
        // Our shell takes over here, until fg or bg: then on_signal gets the SIGCONT of
        // that.
        kill(getpid(), Signal::SIGSTOP)
            .context("kill(SIGSTOP), to stop as the command has")
    }

    fn release(&mut self, child: &Child) -> Result<()> {
        match &self.0 {
            Some(tty) if tcgetpgrp(tty) == Ok(child.pid()) => tcsetpgrp(tty, getpgrp())
                .context("tcsetpgrp, to take the terminal back"),
            _ => Ok(()),
        }
    }
}

impl Foreground {
    fn resume(&self, child: &Child) -> Result<()> {
        let its_own_group = killpg(child.pid(), None).is_ok();
        if let Some(tty) =
            self.0.as_ref().filter(|tty| its_own_group && is_foreground(tty))
        {
            tcsetpgrp(tty, child.pid())
                .context("tcsetpgrp, to give the command the terminal again")?;
        }
        match its_own_group {
            true => killpg(child.pid(), Signal::SIGCONT)
                .context("killpg(SIGCONT), to let the command go on"),
            false => child.signal(Signal::SIGCONT),
        }
    }
}

/// In a pipeline the other commands share our group: taking the foreground would stop
/// them.
fn at_terminal() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

fn tty() -> Option<File> {
    File::options().read(true).write(true).open("/dev/tty").ok()
}

fn is_foreground(tty: &File) -> bool {
    tcgetpgrp(tty) == Ok(getpgrp())
}
