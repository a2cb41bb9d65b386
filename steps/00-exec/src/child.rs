//! The parent's side of a started process: keep it company until it ends, and say how.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use rustix::process::pidfd_send_signal;

use crate::channel::{Channel, Message};
use crate::signals::Signals;
use crate::status::Status;
use crate::terminal::{Job, Terminal};

/// A running command. Dropped before it has ended, it is killed.
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    channel: Channel,
    /// False once the other end has closed: then there is nothing to hear any more.
    listening: bool,
    signals: Signals,
    job: Job,
    descriptors: Vec<OwnedFd>,
    ended: Option<Status>,
}

impl Child {
    pub(crate) fn new(pid: Pid, pidfd: OwnedFd, channel: Channel, signals: Signals, job: Job) -> Self {
        let descriptors = Vec::new();
        Child { pid, pidfd, channel, listening: true, signals, job, descriptors, ended: None }
    }

    /// Its process id, as the host sees it.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(crate) fn keep(&mut self, descriptor: Option<OwnedFd>) {
        self.descriptors.extend(descriptor);
    }

    /// Takes a descriptor that the child has handed over.
    pub fn descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop()
    }

    /// Waits until the command ends. Meanwhile signals that somebody sent to this process are sent
    /// on to it, and Ctrl-Z stops both.
    ///
    /// # Errors
    /// What the kernel says of poll(2) and waitid(2).
    pub fn wait(self) -> Result<Status> {
        let job = self.job;
        self.wait_at(&mut job.terminal())
    }

    /// Waits, with this at the terminal.
    ///
    /// # Errors
    /// What the kernel says of poll(2) and waitid(2), and what `terminal` does.
    pub fn wait_at(mut self, terminal: &mut dyn Terminal) -> Result<Status> {
        // Task 0.3: a pidfd is readable once its process has ended; nobody can miss that.
        loop {
            let wake = self.sleep(terminal)?;
            if wake.signal {
                self.on_signal(terminal)?;
            }
            if wake.message {
                self.on_message(terminal)?;
            }
            if wake.terminal {
                terminal.relay()?;
            }
            if wake.ended {
                let status = self.reap()?;
                terminal.release(&self)?;
                return Ok(status);
            }
        }
    }

    fn sleep(&self, terminal: &dyn Terminal) -> Result<Wake> {
        let mut fds = vec![
            PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(terminal.interests());
        if self.listening {
            fds.push(PollFd::new(self.channel.as_fd(), PollFlags::POLLIN));
        }
        while let Err(error) = poll(&mut fds, PollTimeout::NONE) {
            if error != Errno::EINTR {
                return Err(error).context("poll the command");
            }
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        let (own, rest) = ready.split_at(2);
        let (message, terminal) = match rest.split_last() {
            Some((last, rest)) if self.listening => (*last, rest),
            _ => (false, rest),
        };
        Ok(Wake { ended: own[0], signal: own[1], message, terminal: terminal.contains(&true) })
    }

    fn on_signal(&mut self, terminal: &mut dyn Terminal) -> Result<()> {
        for received in self.signals.read()? {
            match received.signal {
                Signal::SIGCHLD if self.is_stopped()? => terminal.suspend(self)?,
                Signal::SIGCHLD => {}
                _ if terminal.on_signal(&received, self)? => {}
                signal if received.was_sent => self.signal(signal)?,
                // From the keyboard: the command has had it already.
                _ => {}
            }
        }
        Ok(())
    }

    fn on_message(&mut self, terminal: &mut dyn Terminal) -> Result<()> {
        match self.channel.receive()? {
            Some((Message::Stopped, _)) => terminal.suspend(self),
            Some(_) => Ok(()),
            None => {
                self.listening = false;
                Ok(())
            }
        }
    }

    /// Sends it a signal; one that has just ended is no error.
    ///
    /// # Errors
    /// What the kernel says of pidfd_send_signal(2).
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let Some(signal) = rustix::process::Signal::from_named_raw(signal as i32) else { return Ok(()) };
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error).context("send a signal on to the command"),
        }
    }

    fn is_stopped(&self) -> Result<bool> {
        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG;
        match waitid(Id::PIDFd(self.pidfd.as_fd()), flags) {
            Ok(status) => Ok(matches!(status, WaitStatus::Stopped(..))),
            Err(Errno::ECHILD) => Ok(false), // it has ended; the pidfd tells of that
            Err(error) => Err(error).context("wait for the command to stop"),
        }
    }

    /// Waits for its end, whatever else happens.
    pub(crate) fn reap(&mut self) -> Result<Status> {
        loop {
            let ended = kit::call("how did it end?", "waitid", self.pid, || {
                waitid(Id::PIDFd(self.pidfd.as_fd()), WaitPidFlag::WEXITED).map(Ended)
            })?;
            if let Some(status) = Status::of(ended.0) {
                self.ended = Some(status);
                return Ok(status);
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // On the way out of an error that is already told.
        if self.ended.is_none() {
            let _ = self.signal(Signal::SIGKILL);
            let _ = self.reap();
        }
        // It may have taken the terminal before it failed.
        let _ = self.job.terminal().release(self);
    }
}

/// What woke the parent.
struct Wake {
    ended: bool,
    signal: bool,
    message: bool,
    terminal: bool,
}

struct Ended(WaitStatus);

impl kit::Outcome for Ended {
    fn show(&self) -> Option<String> {
        Status::of(self.0).map(|status| status.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_of_a_killed_command_is_128_and_the_signal() {
        assert_eq!((Status::Exited(7).code(), Status::Killed(9).code()), (7, 137));
    }
}
