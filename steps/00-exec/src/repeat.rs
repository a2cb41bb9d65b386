//! Recognizes a signal that arrives twice. timeout(1), for one, sends its signal to
//! its child, and then to the whole process group. Programs that take a second
//! SIGTERM as an order to exit at once could not finish their work.

use std::time::{Duration, Instant};

use kit::interrupt::TERMINATION;
use nix::sys::signal::Signal;

use crate::signals::Received;

/// A signal that its sender repeats within this time counts as the same signal.
/// Nobody can type so fast, and the kernel itself delivers two signals of one number
/// as one as long as the first is pending: signal(7).
const REPEATED_WITHIN: Duration = Duration::from_millis(50);

/// Recognizes a repeated signal.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    last: Option<(Signal, u32, Instant)>,
}

impl Repeats {
    /// Tells whether this signal, received now, repeats the last one.
    pub(crate) fn is_repeat(&mut self, received: &Received, now: Instant) -> bool {
        let Some(signal) = received.name().filter(|it| TERMINATION.contains(it)) else {
            return false;
        };
        if !received.was_sent {
            return false;
        }
        let repeated = self.last.is_some_and(|(earlier, sender, at)| {
            (earlier, sender) == (signal, received.sender)
                && now.duration_since(at) < REPEATED_WITHIN
        });
        if !repeated {
            self.last = Some((signal, received.sender, now));
        }
        repeated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(signal: Signal, sender: u32) -> Received {
        Received { number: signal as i32, was_sent: true, sender }
    }

    #[test]
    fn the_same_signal_from_the_same_process_right_after_is_a_repeat() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let term = received(Signal::SIGTERM, 7);
        assert!(!repeats.is_repeat(&term, at(0)));
        assert!(repeats.is_repeat(&term, at(10)));
        assert!(!repeats.is_repeat(&received(Signal::SIGINT, 7), at(11)));
        assert!(!repeats.is_repeat(&term, at(12)), "it is another than the last");
        assert!(!repeats.is_repeat(&received(Signal::SIGTERM, 8), at(13)));
        assert!(!repeats.is_repeat(&received(Signal::SIGTERM, 8), at(100)));
    }

    #[test]
    fn a_signal_that_does_not_end_a_program_or_comes_from_a_key_is_never_a_repeat() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let key = Received { was_sent: false, ..received(Signal::SIGINT, 0) };
        let real_time = Received { number: 40, ..received(Signal::SIGTERM, 7) };
        for it in [received(Signal::SIGUSR1, 7), key, real_time] {
            assert!(!repeats.is_repeat(&it, now));
            assert!(!repeats.is_repeat(&it, now), "{it:?}");
        }
    }
}
