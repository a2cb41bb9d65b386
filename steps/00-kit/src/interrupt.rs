//! Signals that end a start or an end of a container in bounded time, with everything
//! undone: SIGHUP, SIGINT, SIGQUIT, SIGALRM and SIGTERM.
//!
//! [`crate::RunDir::create`] blocks all signals before anything is made, so that they are
//! pending from then on. Each wait, and [`check`] between two phases, fails if one of
//! these signals is pending; then the guards undo what was made. A wait does not take the
//! signal away: the next wait finds it, too. If it comes too late to prevent the command
//! from running, the command is sent it.
//!
//! [`patiently`] runs work that must not be left half done, such as undoing.

mod helper;
mod lock;
mod wait;

use std::cell::Cell;
use std::io;

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::failure::Failure;
use crate::sys::pending_signals;

pub use crate::sys::is_ignored;
pub use helper::{output, read_to_end};
pub use lock::{lock, lock_shared, lock_shared_within, lock_within};
pub use wait::{Wait, checkpoint};

/// The signals with which people, tools and timers end a program.
pub const TERMINATION: [Signal; 5] =
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGALRM, Signal::SIGTERM];

thread_local! {
    /// True in [`patiently`].
    static IS_PATIENT: Cell<bool> = const { Cell::new(false) };
}

/// Blocks every signal, so that it is pending until it is read.
///
/// # Errors
/// The kernel's reason of sigprocmask(2).
pub fn block() -> Result<()> {
    SigSet::all().thread_block().context("sigprocmask(block all)")
}

/// Fails if a signal is to end this process.
///
/// # Errors
/// `interrupted by SIGTERM`, with the exit code 143. Never in [`patiently`].
pub fn check() -> io::Result<()> {
    if is_patient() {
        return Ok(());
    }
    pending().map_or(Ok(()), |signal| Err(interrupted_by(signal)))
}

/// Runs work that must not be left half done. Its waits go on for up to 5 seconds after
/// a signal.
pub fn patiently<T>(work: impl FnOnce() -> T) -> T {
    let was_patient = IS_PATIENT.replace(true);
    let outcome = work();
    IS_PATIENT.set(was_patient);
    outcome
}

fn is_patient() -> bool {
    IS_PATIENT.get()
}

/// Returns the signal that is to end this process, if one has come. A signal that our caller
/// has us ignore (nohup(1): SIGHUP) ends nothing.
pub(crate) fn pending() -> Option<Signal> {
    let pending = pending_signals();
    TERMINATION.into_iter().find(|it| pending.contains(*it) && !is_ignored(*it))
}

fn interrupted_by(signal: Signal) -> io::Error {
    let failure = Failure::new(format_args!("interrupted by {signal}"));
    io::Error::other(failure.with_exit_code(128 + signal as u8))
}

/// Opens a descriptor that can be read once a signal has come that is to end this
/// process. See signalfd(2).
///
/// # Errors
/// The kernel's reason of signalfd(2).
pub fn termination() -> nix::Result<SignalFd> {
    let signals: SigSet =
        TERMINATION.into_iter().filter(|signal| !is_ignored(*signal)).collect();
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}
