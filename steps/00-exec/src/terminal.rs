//! Who has the terminal while the command runs.
//!
//! Steps 0 to 3 lend the command the caller's own terminal: it becomes the foreground
//! process group (termios, tcsetpgrp(3)), so that Ctrl-C and Ctrl-Z reach it, and once
//! only.

use std::fs::File;
use std::io::{IsTerminal, stdin, stdout};

use anyhow::{Context, Result};
use nix::poll::PollFd;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgrp, setpgid, setsid, tcgetpgrp, tcsetpgrp};

use crate::child::Child;
use crate::signals::{Received, stop_by};

/// What becomes of the terminal when a process is spawned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// On a terminal of the caller's: a process group of its own, in the foreground.
    Foreground,
    /// The process group of its parent, where that is not in the foreground, or not
    /// alone there: in a pipeline the other commands share it, and taking the
    /// foreground from them would stop them.
    Background,
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

    /// The signal of this number has stopped the command, so it stops us too; and both
    /// go on together.
    ///
    /// # Errors
    /// When the terminal cannot be handed over.
    fn suspend(&mut self, child: &Child, signal: i32) -> Result<()>;

    /// The command has ended.
    ///
    /// # Errors
    /// When the terminal cannot be taken back.
    fn release(&mut self, child: &Child) -> Result<()>;
}

impl Job {
    /// Decides by the caller's terminal. Call it before the clone: in a PID namespace of
    /// its own every process group outside has the number 0.
    pub(crate) fn inherited() -> Self {
        let alone = stdin().is_terminal() && stdout().is_terminal();
        match alone && tty().is_some_and(|tty| is_foreground(&tty)) {
            true => Job::Foreground,
            false => Job::Background,
        }
    }

    /// In the child: takes its place.
    pub(crate) fn enter(self) -> Result<()> {
        match self {
            Job::Foreground => take_foreground(),
            Job::Background | Job::Inherited => Ok(()),
            Job::Session => {
                kit::call("it leaves the caller's terminal", "setsid", "", setsid)
                    .map(drop)
            }
        }
    }

    pub(crate) fn terminal(self) -> Foreground {
        match self {
            Job::Foreground | Job::Background => Foreground(tty()),
            Job::Inherited | Job::Session => Foreground(None),
        }
    }
}

fn take_foreground() -> Result<()> {
    let Some(tty) = tty() else { return Ok(()) };
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
        match received.name() {
            Some(Signal::SIGCONT) => self.resume(child)?,
            // The kernel, to all of our process group: one of us reads or sets the
            // terminal from the background. A PID 1 does not stop for that by itself.
            Some(Signal::SIGTTIN | Signal::SIGTTOU) if !received.was_sent => {
                child.signal(Signal::SIGSTOP)?;
                self.suspend(child, received.number)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn suspend(&mut self, child: &Child, signal: i32) -> Result<()> {
        // A later SIGTTIN is stale once we have the foreground.
        if !asks_for_terminal(signal) || !self.0.as_ref().is_some_and(is_foreground) {
            self.release(child)?;
            // Our shell takes over here, until fg or bg.
            stop_by(signal)?;
        }
        self.resume(child)
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

/// Whether the kernel stops a job by it that uses the terminal from the background.
fn asks_for_terminal(signal: i32) -> bool {
    [Signal::SIGTTIN as i32, Signal::SIGTTOU as i32].contains(&signal)
}

fn tty() -> Option<File> {
    File::options().read(true).write(true).open("/dev/tty").ok()
}

fn is_foreground(tty: &File) -> bool {
    tcgetpgrp(tty) == Ok(getpgrp())
}
