//! The parent's side of a started process: keep it company until it ends, and say how.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rustix::process::{WaitId, WaitIdOptions, WaitIdStatus, waitid};

use crate::channel::{Channel, Message};
use crate::signals::{Received, Signals};
use crate::status::Status;
use crate::sys;
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
    /// What it is sent instead of SIGTERM.
    end_with: Signal,
}

impl Child {
    pub(crate) fn new(
        pid: Pid,
        pidfd: OwnedFd,
        channel: Channel,
        signals: Signals,
        job: Job,
    ) -> Self {
        let descriptors = Vec::new();
        let end_with = Signal::SIGTERM;
        Child {
            pid,
            pidfd,
            channel,
            listening: true,
            signals,
            job,
            descriptors,
            ended: None,
            end_with,
        }
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

    /// From now on, when somebody sends us SIGTERM, it is sent this: an image may want
    /// to be ended otherwise.
    pub fn end_with(&mut self, signal: Signal) {
        self.end_with = signal;
    }

    /// Waits until the command ends. Meanwhile signals that somebody sent to this
    /// process are sent on to it, and Ctrl-Z stops both.
    ///
    /// # Errors
    /// What the kernel says of poll(2) and waitid(2).
    pub fn wait(self) -> Result<Status> {
        let job = self.job;
        self.wait_at(&mut job.terminal())
    }

    // ANCHOR: wait_at
    /// Waits, with this at the terminal.
    ///
    /// # Errors
    /// What the kernel says of poll(2) and waitid(2), and what `terminal` does.
    // Task 0.3: a pidfd is readable once its process has ended; nobody can miss that.
    pub fn wait_at(mut self, terminal: &mut dyn Terminal) -> Result<Status> {
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
                terminal.release(&self)?; // before its end is told there
                return self.reap();
            }
        }
    }
    // ANCHOR_END: wait_at

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
                return Err(error).context("poll(the command)");
            }
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        let (own, rest) = ready.split_at(2);
        let (message, terminal) = match rest.split_last() {
            Some((last, rest)) if self.listening => (*last, rest),
            _ => (false, rest),
        };
        Ok(Wake {
            ended: own[0],
            signal: own[1],
            message,
            terminal: terminal.contains(&true),
        })
    }

    fn on_signal(&mut self, terminal: &mut dyn Terminal) -> Result<()> {
        for received in self.signals.read()? {
            match received.name() {
                Some(Signal::SIGCHLD) => {
                    if let Some(signal) = self.stopping_signal()? {
                        terminal.suspend(self, signal)?;
                    }
                }
                _ if terminal.on_signal(&received, self)? => {}
                _ if received.is_for_us_alone() => self.send_on(&received)?,
                // From the keyboard: the command has had it already.
                _ => {}
            }
        }
        Ok(())
    }

    fn on_message(&mut self, terminal: &mut dyn Terminal) -> Result<()> {
        match self.channel.receive()? {
            Some((Message::Stopped(signal), _)) => terminal.suspend(self, signal),
            // An init that cannot go on: the command ends with it.
            Some((Message::Failed(failure), _)) => Err(failure.into()),
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
        self.send(signal as i32)
    }

    /// Sends on to it a signal that we have got.
    ///
    /// # Errors
    /// What the kernel says of pidfd_send_signal(2).
    pub fn send_on(&self, received: &Received) -> Result<()> {
        match received.name() {
            Some(Signal::SIGTERM) => self.signal(self.end_with),
            _ => self.send(received.number),
        }
    }

    fn send(&self, signal: i32) -> Result<()> {
        match sys::pidfd_send_signal(self.pidfd.as_fd(), signal) {
            Err(error) if error.raw_os_error() != Some(Errno::ESRCH as i32) => {
                Err(error)
                    .with_context(|| format!("send signal {signal} on to the command"))
            }
            _ => Ok(()),
        }
    }

    /// The number of the signal that has stopped it since the last time.
    fn stopping_signal(&self) -> Result<Option<i32>> {
        let flags = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        match waitid(WaitId::PidFd(self.pidfd.as_fd()), flags) {
            Ok(status) => Ok(status.and_then(|status| status.stopping_signal())),
            // it has ended; the pidfd tells of that
            Err(rustix::io::Errno::CHILD) => Ok(None),
            Err(error) => Err(error).context("waitid(the command)"),
        }
    }

    /// Waits for its end, whatever else happens.
    pub(crate) fn reap(&mut self) -> Result<Status> {
        loop {
            let ended = kit::call("how did it end?", "waitid", self.pid, || {
                waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED)
                    .map(Ended)
            })?;
            if let Some(status) = ended.status() {
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
            // it may have taken it before it failed
            let _ = self.job.terminal().release(self);
            let _ = self.reap();
        }
    }
}

/// What woke the parent.
struct Wake {
    ended: bool,
    signal: bool,
    message: bool,
    terminal: bool,
}

struct Ended(Option<WaitIdStatus>);

impl Ended {
    fn status(&self) -> Option<Status> {
        let status = self.0.as_ref()?;
        Status::of(status.exit_status(), status.terminating_signal())
    }
}

impl kit::Outcome for Ended {
    fn show(&self) -> Option<String> {
        self.status().map(|status| status.to_string())
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
