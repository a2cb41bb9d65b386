//! The terminal while the command runs.
//!
//! Steps 0 to 3 lend the command the caller's own terminal: the command becomes the
//! foreground process group (termios, tcsetpgrp(3)), so that Ctrl-C and Ctrl-Z reach
//! the command, and only once.

use std::fs::File;
use std::io::{IsTerminal, stdin, stdout};

use anyhow::{Context, Result};
use nix::poll::PollFd;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{
    Pid, getpgrp, getppid, getsid, setpgid, setsid, tcgetpgrp, tcsetpgrp,
};

use crate::process::Process;
use crate::signals::{Received, stop_self};

/// The process group of a new process, and with it the use of the caller's terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// A process group of its own, in the foreground of the caller's terminal.
    Foreground,
    /// The parent's process group, which is not in the foreground or contains the
    /// other commands of a pipeline. If the new process took the foreground, those
    /// would stop.
    Background,
    /// A process group of its own, without a terminal. A signal that is sent to the
    /// caller's group reaches it through its parent only, and so only once.
    Apart,
    /// The parent's process group.
    Inherited,
    /// A session of its own. It has no terminal unless it takes one: setsid(2).
    Session,
}

/// The use of the terminal in the foreground, while the parent waits for the command.
pub trait Foreground {
    /// Returns descriptors to poll. When one of them is ready,
    /// [`relay`](Foreground::relay) is called.
    fn poll_fds(&self) -> Vec<PollFd<'_>> {
        Vec::new()
    }

    /// Copies input and output as far as they are ready.
    ///
    /// # Errors
    /// When the terminal cannot be read or written.
    fn relay(&mut self) -> Result<()> {
        Ok(())
    }

    /// Handles a signal that concerns the terminal. Returns false for all others.
    ///
    /// # Errors
    /// When the terminal cannot be changed.
    fn on_signal(&mut self, received: &Received, command: &Process) -> Result<bool>;

    /// Stops this process, because the signal of this number has stopped the command.
    /// Returns once both go on.
    ///
    /// # Errors
    /// When the terminal cannot be handed over.
    fn suspend(&mut self, command: &Process, signal: i32) -> Result<()>;

    /// Takes the terminal back from a command that has ended.
    ///
    /// # Errors
    /// When the terminal cannot be taken back.
    fn release(&mut self, command: &Process) -> Result<()>;
}

impl Job {
    /// Chooses the job by the caller's terminal. Call it before the clone: in a new PID
    /// namespace every process group outside has the number 0.
    pub(crate) fn for_caller_terminal() -> Self {
        let outside_pipeline = stdin().is_terminal() && stdout().is_terminal();
        match tty() {
            Some(tty) if outside_pipeline && is_foreground(&tty) => Job::Foreground,
            Some(_) => Job::Background,
            None => Job::Apart,
        }
    }

    /// Moves the child, which calls this, to its process group.
    pub(crate) fn enter(self) -> Result<()> {
        match self {
            Job::Foreground => take_foreground(),
            Job::Apart => enter_own_group(),
            Job::Background | Job::Inherited => Ok(()),
            Job::Session => {
                kit::call("it leaves the caller's terminal", "setsid", "", setsid)
                    .map(drop)
            }
        }
    }

    /// Tells whether this process must stop, too, after the signal of this number has
    /// stopped the command. Only a job of a shell must, because the shell can
    /// continue it. Without a shell nobody would continue this process, and a stopped
    /// runtime forwards no signal.
    pub(crate) fn must_stop(self, command: &Process, signal: i32) -> bool {
        let Some(tty) = tty().filter(|_| has_shell()) else { return false };
        // The kernel stops a background job that wants to use the terminal.
        let wants_terminal = self != Job::Session && asks_for_terminal(signal);
        wants_terminal
            || tcgetpgrp(&tty).is_ok_and(|it| it == getpgrp() || it == command.pid())
    }

    pub(crate) fn terminal(self) -> CallersTerminal {
        match self {
            Job::Foreground | Job::Background => CallersTerminal(tty()),
            Job::Apart | Job::Inherited | Job::Session => CallersTerminal(None),
        }
    }
}

fn take_foreground() -> Result<()> {
    let Some(tty) = tty() else { return Ok(()) };
    enter_own_group()?;
    // The parent has blocked SIGTTOU before the clone. Otherwise it would stop us here.
    kit::call("Ctrl-C reaches it alone", "tcsetpgrp", "the terminal", || {
        tcsetpgrp(&tty, getpgrp())
    })
}

fn enter_own_group() -> Result<()> {
    kit::call("a job of its own", "setpgid", "0, 0", || {
        setpgid(Pid::from_raw(0), Pid::from_raw(0))
    })
}

/// The caller's terminal, lent to the command.
pub struct CallersTerminal(Option<File>);

impl Foreground for CallersTerminal {
    fn on_signal(&mut self, received: &Received, command: &Process) -> Result<bool> {
        match received.name() {
            Some(Signal::SIGCONT) => self.resume(command)?,
            // The kernel sends it to our whole process group, because one process of it
            // uses the terminal from the background. PID 1 does not stop by itself.
            Some(Signal::SIGTTIN | Signal::SIGTTOU) if !received.was_sent => {
                command.signal(Signal::SIGSTOP)?;
                self.suspend(command, received.number)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn suspend(&mut self, command: &Process, signal: i32) -> Result<()> {
        // A SIGTTIN that is read once we have the foreground is out of date.
        if !asks_for_terminal(signal) || !self.0.as_ref().is_some_and(is_foreground) {
            self.release(command)?;
            // The shell goes on here, until fg or bg.
            stop_self(signal)?;
        }
        self.resume(command)
    }

    fn release(&mut self, command: &Process) -> Result<()> {
        match &self.0 {
            Some(tty) if tcgetpgrp(tty) == Ok(command.pid()) => {
                tcsetpgrp(tty, getpgrp())
                    .context("tcsetpgrp, to take the terminal back")
            }
            _ => Ok(()),
        }
    }
}

impl CallersTerminal {
    fn resume(&self, command: &Process) -> Result<()> {
        let has_own_group = killpg(command.pid(), None).is_ok();
        if let Some(tty) =
            self.0.as_ref().filter(|tty| has_own_group && is_foreground(tty))
        {
            tcsetpgrp(tty, command.pid())
                .context("tcsetpgrp, to give the command the terminal again")?;
        }
        match has_own_group {
            true => killpg(command.pid(), Signal::SIGCONT)
                .context("killpg(SIGCONT), to continue the command"),
            false => command.signal(Signal::SIGCONT),
        }
    }
}

/// Tells whether the kernel sends this signal to a background job that uses the
/// terminal.
fn asks_for_terminal(signal: i32) -> bool {
    [Signal::SIGTTIN as i32, Signal::SIGTTOU as i32].contains(&signal)
}

/// Tells whether our parent is in our session, and can be the shell of this job.
fn has_shell() -> bool {
    let parent = getppid();
    parent.as_raw() != 0 && getsid(Some(parent)).is_ok_and(|it| Ok(it) == getsid(None))
}

fn tty() -> Option<File> {
    File::options().read(true).write(true).open("/dev/tty").ok()
}

fn is_foreground(tty: &File) -> bool {
    tcgetpgrp(tty) == Ok(getpgrp())
}
