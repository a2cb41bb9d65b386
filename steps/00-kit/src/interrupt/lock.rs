//! Waits for a lock: flock(2).

use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::wait::{Wait, is_over};

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(8);

/// Waits until no other process has a lock on this file, and takes it.
///
/// # Errors
/// When a signal has come, or the kernel's reason of flock(2).
pub fn lock(file: &File) -> io::Result<()> {
    try_until_locked(None, || file.try_lock())
}

/// Waits for the lock as [`lock`] does, but only for this time.
///
/// # Errors
/// As [`lock`], and EAGAIN when the time is over.
pub fn lock_within(time: Duration, file: &File) -> io::Result<()> {
    try_until_locked(Some(Instant::now() + time), || file.try_lock())
}

/// Waits until no other process has an exclusive lock on this file, and takes a shared
/// one.
///
/// # Errors
/// As [`lock`].
pub fn lock_shared(file: &File) -> io::Result<()> {
    try_until_locked(None, || file.try_lock_shared())
}

/// Waits for a shared lock as [`lock_shared`] does, but only for this time.
///
/// # Errors
/// As [`lock_within`].
pub fn lock_shared_within(time: Duration, file: &File) -> io::Result<()> {
    try_until_locked(Some(Instant::now() + time), || file.try_lock_shared())
}

/// Tries again and again: poll(2) cannot wait for a lock, and no signal that is blocked
/// ends a flock(2) that waits. A lock that is free is taken even after a signal.
fn try_until_locked(
    end: Option<Instant>,
    attempt: impl Fn() -> Result<(), TryLockError>,
) -> io::Result<()> {
    let mut wait = None;
    let mut pause = Duration::from_millis(1);
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if end.is_some_and(is_over) => {
                return Err(Errno::EAGAIN.into());
            }
            Err(TryLockError::WouldBlock) => {}
        }
        let wait = match &wait {
            Some(wait) => wait,
            None => wait.insert(Wait::new()?),
        };
        wait.pause(pause)?;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use nix::sys::signal::{Signal, raise};

    use super::*;

    #[test]
    fn a_lock_is_waited_for_until_it_is_free_or_a_signal_comes() {
        let held = tempfile::NamedTempFile::new().unwrap();
        let path = held.path().to_owned();
        held.as_file().lock().unwrap();
        let waits = thread::spawn(move || {
            let file = File::open(&path).unwrap();
            lock(&file).unwrap();
            drop(file);
            let (one, other) = (File::open(&path).unwrap(), File::open(&path).unwrap());
            lock_shared(&one).unwrap();
            lock_shared(&other).unwrap();
            let late = lock_within(Duration::from_millis(3), &one).unwrap_err();
            assert_eq!(late.raw_os_error(), Some(Errno::EAGAIN as i32));
            crate::interrupt::block().unwrap();
            raise(Signal::SIGTERM).unwrap();
            lock(&one).unwrap_err();
            drop(other);
            lock(&one).unwrap();
        });
        thread::sleep(Duration::from_millis(20));
        assert!(!waits.is_finished());
        held.as_file().unlock().unwrap();
        waits.join().unwrap();
    }
}
