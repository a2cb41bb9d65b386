//! Signals as events: they are blocked, and read from a descriptor when the parent is
//! ready for them.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};
use kit::interrupt::{self, is_ignored};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::getpid;

use crate::sys;

/// The signals of this process, blocked and readable. See signalfd(2).
#[derive(Debug)]
pub struct Signals(SignalFd);

/// A signal that this process has received.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Its number: real-time signals have no names (signal(7)).
    pub number: i32,
    /// True if a process sent it, with kill(2); false if the kernel did, for a key or a
    /// child.
    pub was_sent: bool,
    /// The id of the process that sent it, in our PID namespace; 0 if it has none
    /// there.
    pub sender: u32,
}

impl Received {
    /// Returns its name, if it has one.
    pub fn name(&self) -> Option<Signal> {
        Signal::try_from(self.number).ok()
    }

    /// Tells whether only this process has received the signal, so that it must be
    /// forwarded to the command. Two kinds must not: the kernel's signals of the
    /// terminal, which it sends to the command as well, and those for our own writes.
    ///
    /// The kernel sends a hang-up of the terminal only to the leader of the session,
    /// which may be this process. It sends a timer's signal only to the process that
    /// has set the timer: our caller may have set one before it executed us
    /// (alarm(2)).
    pub fn must_be_forwarded(&self) -> bool {
        use Signal::*;
        let of_the_terminal =
            [SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH].map(Some);
        let of_our_writes = [SIGPIPE, SIGXFSZ].map(Some);
        self.was_sent
            || !of_the_terminal.contains(&self.name())
                && !of_our_writes.contains(&self.name())
    }
}

impl Signals {
    /// Blocks every signal. A child inherits the mask, so no signal is lost until it
    /// resets signals right before its exec. A signal that our caller has us ignore
    /// (nohup(1): SIGHUP) is not read, and so not forwarded.
    ///
    /// # Errors
    /// The kernel's reason of sigprocmask(2) or signalfd(2).
    pub fn block() -> Result<Self> {
        interrupt::block()?;
        // Only if it is ignored: the call also discards a pending SIGCHLD.
        if is_ignored(Signal::SIGCHLD) {
            sys::stop_ignoring_sigchld();
        }
        let mut signals = SigSet::all();
        SigSet::all()
            .iter()
            .filter(|signal| is_ignored(*signal))
            .for_each(|signal| signals.remove(signal));
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Signals(SignalFd::with_flags(&signals, flags).context("signalfd(signals)")?))
    }

    /// Unblocks every signal.
    ///
    /// # Errors
    /// The kernel's reason of sigprocmask(2).
    pub fn unblock() -> Result<()> {
        SigSet::all().thread_unblock().context("sigprocmask(unblock all)")
    }

    /// Reads the signals that have come since the last call.
    ///
    /// # Errors
    /// The kernel's reason of read(2).
    pub fn read(&self) -> Result<Vec<Received>> {
        let mut received = Vec::new();
        while let Some(info) = self.0.read_signal().context("read(signals)")? {
            // sigaction(2): si_code is positive when the kernel sent it.
            received.push(Received {
                number: info.ssi_signo as i32,
                was_sent: info.ssi_code <= 0,
                sender: info.ssi_pid,
            });
        }
        Ok(received)
    }
}

/// Stops this process by the signal of this number, and returns once it goes on. The
/// process that waits for us sees the signal: our shell, or a sudo that gives the
/// terminal to a job that SIGTTIN has stopped. In an orphaned process group no process
/// could continue us, so the kernel stops nothing there: setpgid(2).
///
/// # Errors
/// When kill(2) or sigprocmask(2) fails.
pub fn stop_self(signal: i32) -> Result<()> {
    let signal = stop_signal(signal);
    let only: SigSet = [signal].into_iter().collect();
    // The signal is pending while it is blocked. The same signal from elsewhere
    // merges with it.
    kill(getpid(), signal)
        .with_context(|| format!("kill({signal}), to stop as the command has"))?;
    only.thread_unblock().context("sigprocmask(unblock, to stop)")?;
    only.thread_block().context("sigprocmask(block again)")
}

/// Turns the number into a signal that can only stop us: it comes from the container's
/// init, which must not be able to kill us.
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
    fn whatever_number_an_init_sends_it_can_only_stop_us() {
        assert_eq!(stop_signal(Signal::SIGTTIN as i32), Signal::SIGTTIN);
        for number in [-1, 0, Signal::SIGKILL as i32, Signal::SIGTERM as i32, 64, 1000]
        {
            assert_eq!(stop_signal(number), Signal::SIGSTOP);
        }
    }
}
