//! Signals as events: blocked, and read from a descriptor when the parent is ready for them.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::sys;

/// The signals of this process, blocked and readable. See signalfd(2).
#[derive(Debug)]
pub struct Signals(SignalFd);

/// A signal that has come.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Which.
    pub signal: Signal,
    /// Somebody sent it, with kill(2). False: the kernel did, for a key or a child.
    pub was_sent: bool,
}

impl Signals {
    /// Blocks every signal. A child inherits that, so nothing is lost before it has its own
    /// defaults again, right before its exec. What our caller has us ignore (nohup(1): SIGHUP) is
    /// not read, and so not sent on.
    ///
    /// # Errors
    /// What the kernel says of sigprocmask(2) and signalfd(2).
    pub fn block() -> Result<Self> {
        let all = SigSet::all();
        all.thread_block().context("block signals")?;
        // Only where it is needed: setting it also drops a SIGCHLD that is already there.
        if sys::is_ignored(Signal::SIGCHLD) {
            sys::heed_children();
        }
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let mut heeded = all;
        Signal::iterator().filter(|signal| sys::is_ignored(*signal)).for_each(|signal| heeded.remove(signal));
        Ok(Signals(SignalFd::with_flags(&heeded, flags).context("make a descriptor for signals")?))
    }

    /// Reads what has come since the last time.
    ///
    /// # Errors
    /// What the kernel says of read(2).
    pub fn read(&self) -> Result<Vec<Received>> {
        let mut received = Vec::new();
        while let Some(info) = self.0.read_signal().context("read signals")? {
            if let Ok(signal) = Signal::try_from(info.ssi_signo as i32) {
                // sigaction(2): si_code is positive when the kernel sent it.
                received.push(Received { signal, was_sent: info.ssi_code <= 0 });
            }
        }
        Ok(received)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
