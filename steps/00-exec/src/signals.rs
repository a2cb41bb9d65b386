//! Signals as events: blocked, and read from a descriptor when the parent is ready for
//! them.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::getpid;

use crate::sys;

/// The signals of this process, blocked and readable. See signalfd(2).
#[derive(Debug)]
pub struct Signals(SignalFd);

/// A signal that has come.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Its number: real-time signals have no names (signal(7)).
    pub number: i32,
    /// Somebody sent it, with kill(2). False: the kernel did, for a key or a child.
    pub was_sent: bool,
}

impl Received {
    /// Its name, if it has one.
    pub fn name(&self) -> Option<Signal> {
        Signal::try_from(self.number).ok()
    }

    /// Whether the command has not had it: what a key sends, it gets itself. That the
    /// terminal has hung up, the kernel tells the leader of its session, who may be
    /// this process.
    pub fn is_for_us_alone(&self) -> bool {
        self.was_sent || self.name() == Some(Signal::SIGHUP)
    }
}

impl Signals {
    /// Blocks every signal. A child inherits that, so nothing is lost before it has its
    /// own defaults again, right before its exec. What our caller has us ignore
    /// (nohup(1): SIGHUP) is not read, and so not sent on.
    ///
    /// # Errors
    /// What the kernel says of sigprocmask(2) and signalfd(2).
    pub fn block() -> Result<Self> {
        let all = SigSet::all();
        all.thread_block().context("sigprocmask(block all)")?;
        // Only where it is needed: setting it also drops a SIGCHLD that is already
        // there.
        if sys::is_ignored(Signal::SIGCHLD) {
            sys::heed_children();
        }
        Self::read_from(all)
    }

    /// From here on signals do again what they do by default, to this process.
    ///
    /// # Errors
    /// What the kernel says of sigprocmask(2).
    pub fn unblock() -> Result<()> {
        SigSet::all().thread_unblock().context("sigprocmask(unblock all)")
    }

    /// Those with which people and their tools end a program; all must be blocked
    /// already.
    ///
    /// # Errors
    /// What the kernel says of signalfd(2).
    pub fn ending() -> Result<Self> {
        use Signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
        Self::read_from([SIGHUP, SIGINT, SIGQUIT, SIGTERM].into_iter().collect())
    }

    fn read_from(signals: SigSet) -> Result<Self> {
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let mut heeded = signals;
        signals
            .iter()
            .filter(|signal| sys::is_ignored(*signal))
            .for_each(|signal| heeded.remove(signal));
        Ok(Signals(
            SignalFd::with_flags(&heeded, flags).context("signalfd(what is heeded)")?,
        ))
    }

    /// Reads what has come since the last time.
    ///
    /// # Errors
    /// What the kernel says of read(2).
    pub fn read(&self) -> Result<Vec<Received>> {
        let mut received = Vec::new();
        while let Some(info) = self.0.read_signal().context("read(signals)")? {
            // sigaction(2): si_code is positive when the kernel sent it.
            received.push(Received {
                number: info.ssi_signo as i32,
                was_sent: info.ssi_code <= 0,
            });
        }
        Ok(received)
    }
}

/// Stops this process as a stop signal does, and returns once it goes on. Whoever waits
/// for us sees by which: our shell, or a sudo that gives the terminal to a job that
/// SIGTTIN has stopped. In an orphaned process group nobody could let it go on, so the
/// kernel stops nothing there: setpgid(2).
///
/// # Errors
/// When kill(2) or sigprocmask(2) fails.
pub fn stop_by(signal: i32) -> Result<()> {
    let signal = stop_signal(signal);
    let only: SigSet = [signal].into_iter().collect();
    // It pends while it is blocked: one that came from elsewhere is one with it.
    kill(getpid(), signal)
        .with_context(|| format!("kill({signal}), to stop as the command has"))?;
    only.thread_unblock().context("sigprocmask(unblock, to stop)")?;
    only.thread_block().context("sigprocmask(block again)")
}

/// A container's init tells the number, and nothing that it says may kill us.
fn stop_signal(number: i32) -> Signal {
    match Signal::try_from(number) {
        Ok(it @ (Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU)) => it,
        _ => Signal::SIGSTOP,
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_number_an_init_tells_it_can_only_stop_us() {
        assert_eq!(stop_signal(Signal::SIGTTIN as i32), Signal::SIGTTIN);
        for number in [-1, 0, Signal::SIGKILL as i32, Signal::SIGTERM as i32, 64, 1000]
        {
            assert_eq!(stop_signal(number), Signal::SIGSTOP);
        }
    }
}
