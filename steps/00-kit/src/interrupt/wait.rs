//! Waits for a descriptor, or for a time.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;

use super::{interrupted_by, is_patient, pending, termination};

/// How long the waits of [`super::patiently`] go on after a signal, all of them
/// together. A hundred containers that end at once wait for each other, but for less
/// than this.
const PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    /// The moment at which patience ends. None: no patient wait has seen a signal yet.
    static PATIENCE_ENDS: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A wait that a signal ends.
#[derive(Debug)]
pub struct Wait(SignalFd);

impl Wait {
    /// Prepares a wait.
    ///
    /// # Errors
    /// The kernel's reason of signalfd(2).
    pub fn new() -> io::Result<Self> {
        Ok(Wait(termination()?))
    }

    /// Waits until this descriptor can be read.
    ///
    /// # Errors
    /// When a signal has come, or the kernel's reason of poll(2).
    pub fn until_readable(&self, descriptor: impl AsFd) -> io::Result<()> {
        self.poll(Some(descriptor.as_fd()), None).map(drop)
    }

    /// Waits until this descriptor can be read, or the time is over. Returns whether it
    /// can be read.
    ///
    /// # Errors
    /// When a signal has come, or the kernel's reason of poll(2).
    pub fn is_readable_within(
        &self,
        time: Duration,
        descriptor: impl AsFd,
    ) -> io::Result<bool> {
        self.poll(Some(descriptor.as_fd()), Some(Instant::now() + time))
    }

    /// Waits for this time.
    ///
    /// # Errors
    /// When a signal has come, or the kernel's reason of poll(2).
    pub fn pause(&self, time: Duration) -> io::Result<()> {
        self.poll(None, Some(Instant::now() + time)).map(drop)
    }

    /// Waits until the descriptor can be read, or until `end`. Returns whether it can
    /// be read.
    fn poll(
        &self,
        descriptor: Option<BorrowedFd<'_>>,
        end: Option<Instant>,
    ) -> io::Result<bool> {
        loop {
            let patience_ends = PATIENCE_ENDS.get().filter(|_| is_patient());
            // A signal that has been seen stays there: it would end every poll at once.
            let signals = patience_ends.is_none().then(|| self.0.as_fd());
            let mut ready: Vec<_> = [descriptor, signals]
                .into_iter()
                .flatten()
                .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
                .collect();
            match poll(&mut ready, timeout([end, patience_ends])) {
                Err(Errno::EINTR) => continue,
                polled => polled?,
            };
            if descriptor.is_some() && ready[0].any() == Some(true) {
                return Ok(true);
            }
            if end.is_some_and(is_over) {
                return Ok(false);
            }
            checkpoint()?;
        }
    }
}

/// Fails as a wait would that begins now. Long work calls it again and again.
///
/// # Errors
/// When a signal has come; in [`super::patiently`] only once its time is over.
pub fn checkpoint() -> io::Result<()> {
    let patience_ends = PATIENCE_ENDS.get().filter(|_| is_patient());
    match pending() {
        Some(_) if is_patient() && patience_ends.is_none() => {
            PATIENCE_ENDS.set(Some(Instant::now() + PATIENCE));
            Ok(())
        }
        Some(signal) if patience_ends.is_none_or(is_over) => {
            Err(interrupted_by(signal))
        }
        Some(_) => Ok(()),
        // It has been read, and sent on to the command. The next signal begins anew.
        None => {
            PATIENCE_ENDS.set(None);
            Ok(())
        }
    }
}

pub(super) fn is_over(end: Instant) -> bool {
    end <= Instant::now()
}

/// The time until the first of these moments, for poll(2).
fn timeout(ends: [Option<Instant>; 2]) -> PollTimeout {
    let Some(end) = ends.into_iter().flatten().min() else { return PollTimeout::NONE };
    let left = end.saturating_duration_since(Instant::now());
    // Rounded up, so that the moment has come when poll returns.
    PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};

    use super::*;
    use crate::failure::Failure;
    use crate::interrupt::{block, check, patiently};

    /// In a thread of its own: its signals are blocked and pending for it alone.
    fn in_thread(work: impl FnOnce() + Send + 'static) {
        std::thread::spawn(work).join().unwrap();
    }

    #[test]
    fn a_signal_ends_a_wait_and_stays_pending() {
        in_thread(|| {
            let (reader, _writer) = nix::unistd::pipe().unwrap();
            block().unwrap();
            check().unwrap();
            raise(Signal::SIGTERM).unwrap();
            let wait = Wait::new().unwrap();
            for _ in 0..2 {
                let error = wait.until_readable(&reader).unwrap_err();
                assert_eq!(error.to_string(), "interrupted by SIGTERM");
                assert_eq!(Failure::of(&error.into()).exit_code(), 143);
            }
            check().unwrap_err();
        });
    }

    #[test]
    fn a_patient_wait_goes_on_for_some_time_after_a_signal() {
        in_thread(|| {
            let (reader, writer) = nix::unistd::pipe().unwrap();
            block().unwrap();
            raise(Signal::SIGINT).unwrap();
            let wait = Wait::new().unwrap();
            patiently(|| {
                check().unwrap();
                wait.pause(Duration::from_millis(2)).unwrap();
                PATIENCE_ENDS.set(Some(Instant::now()));
                wait.until_readable(&reader).unwrap_err();
                nix::unistd::write(&writer, b"x").unwrap();
                wait.until_readable(&reader).unwrap();
            });
            check().unwrap_err();
        });
    }

    #[test]
    fn a_signal_that_was_read_does_not_shorten_the_patience_with_the_next_one() {
        in_thread(|| {
            block().unwrap();
            raise(Signal::SIGINT).unwrap();
            patiently(checkpoint).unwrap();
            PATIENCE_ENDS.set(Some(Instant::now()));
            patiently(checkpoint).unwrap_err();
            termination().unwrap().read_signal().unwrap().unwrap();
            checkpoint().unwrap();
            raise(Signal::SIGTERM).unwrap();
            patiently(checkpoint).unwrap();
        });
    }

    #[test]
    fn a_signal_that_ends_no_program_ends_no_wait() {
        in_thread(|| {
            block().unwrap();
            raise(Signal::SIGWINCH).unwrap();
            Wait::new().unwrap().pause(Duration::from_millis(2)).unwrap();
            check().unwrap();
        });
    }
}
