//! A started process. Its parent refers to it by a pidfd, which never comes to mean
//! another process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use kit::interrupt::TERMINATION;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rustix::process::{WaitId, WaitIdOptions, WaitIdStatus, waitid};

use crate::signals::Received;
use crate::status::Status;
use crate::sys;

/// A started process, which can be sent signals and waited for.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    pidfd: OwnedFd,
    /// A number, because it may be a real-time signal, which has no name.
    stop_signal: i32,
}

impl Process {
    pub(crate) fn new(pid: Pid, pidfd: OwnedFd) -> Self {
        Process { pid, pidfd, stop_signal: Signal::SIGTERM as i32 }
    }

    /// Returns the process id, as the host sees it.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    pub(crate) fn set_stop_signal(&mut self, signal: i32) {
        self.stop_signal = signal;
    }

    /// Sends a signal. If the process has ended already, this is no error.
    ///
    /// # Errors
    /// The kernel's reason of pidfd_send_signal(2).
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.send(signal as i32)
    }

    /// Forwards a signal that this process has received; in place of SIGTERM, the
    /// stop signal. A stopped process handles no signal before it goes on, so SIGCONT
    /// follows a signal that is to end it. A shell's kill and systemd.kill(5) do the
    /// same.
    ///
    /// # Errors
    /// The kernel's reason of pidfd_send_signal(2).
    pub fn forward(&self, received: &Received) -> Result<()> {
        match received.name() {
            Some(Signal::SIGTERM) => self.send(self.stop_signal)?,
            _ => self.send(received.number)?,
        }
        match received.name().is_some_and(|it| TERMINATION.contains(&it)) {
            true => self.signal(Signal::SIGCONT),
            false => Ok(()),
        }
    }

    fn send(&self, signal: i32) -> Result<()> {
        match sys::pidfd_send_signal(self.as_fd(), signal) {
            Err(error) if error.raw_os_error() != Some(Errno::ESRCH as i32) => {
                Err(error)
                    .with_context(|| format!("send signal {signal} to the command"))
            }
            _ => Ok(()),
        }
    }

    /// Returns the number of the signal that has stopped the process since the last
    /// call.
    pub(crate) fn stopping_signal(&self) -> Result<Option<i32>> {
        let flags = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        match waitid(WaitId::PidFd(self.as_fd()), flags) {
            Ok(status) => Ok(status.and_then(|status| status.stopping_signal())),
            // It has ended, which the pidfd reports.
            Err(rustix::io::Errno::CHILD) => Ok(None),
            Err(error) => Err(error).context("waitid(the command)"),
        }
    }

    /// Waits until it has ended, and reaps it.
    pub(crate) fn reap(&self) -> Result<Status> {
        loop {
            let ended = kit::call("how did it end?", "waitid", self.pid, || {
                waitid(WaitId::PidFd(self.as_fd()), WaitIdOptions::EXITED).map(Ended)
            })?;
            if let Some(status) = ended.status() {
                return Ok(status);
            }
        }
    }
}

impl AsFd for Process {
    /// The pidfd: readable once the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
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
