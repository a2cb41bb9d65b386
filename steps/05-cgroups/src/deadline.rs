//! Waits for the kernel, but not for ever.

use std::time::{Duration, Instant};

use nix::poll::{PollTimeout, poll};

/// The longest time to wait. A process that does not die in this time is stuck in the
/// kernel.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The hint for a process that neither stops nor dies.
pub(crate) const STUCK: &str = "a process in it is stuck in the kernel: look for state D in \
                                `ps -eo pid,stat,wchan,cmd`; remove what is left with `gc` later";

/// The moment at which waiting ends.
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// Sets a deadline 10 seconds from now.
    pub(crate) fn new() -> Self {
        Deadline(Instant::now() + TIMEOUT)
    }

    /// Returns the time that is left, or `None` when the deadline has passed.
    pub(crate) fn time_left(&self) -> Option<PollTimeout> {
        let time_left = self.0.checked_duration_since(Instant::now())?;
        PollTimeout::try_from(time_left.as_millis()).ok()
    }

    /// Waits for a millisecond, where the kernel has no event to wait for. Returns
    /// false when the deadline has passed.
    pub(crate) fn pause(&self) -> bool {
        // EINTR only makes the pause shorter.
        let _ = poll(&mut [], 1u8);
        self.time_left().is_some()
    }
}
