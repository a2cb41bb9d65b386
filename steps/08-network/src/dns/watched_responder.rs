//! The responder while a container runs: its runtime starts it again when it has died.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::Result;
use exec::{Foreground, Process, Received};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
    timerfd_create, timerfd_settime,
};

use super::lifecycle::{Responder, Restart};

/// The terminal in the foreground, and the responder beside it: a runtime that waits
/// for its command waits for the responder as well.
pub struct WatchedResponder<'a> {
    terminal: &'a mut dyn Foreground,
    responder: Option<&'a mut Responder>,
    /// The time of the next try, after one that has failed.
    retry: Option<OwnedFd>,
    delay: Duration,
}

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

impl<'a> WatchedResponder<'a> {
    pub(crate) fn new(
        terminal: &'a mut dyn Foreground,
        responder: Option<&'a mut Responder>,
    ) -> Self {
        WatchedResponder { terminal, responder, retry: None, delay: FIRST_DELAY }
    }

    /// Readable when the responder has died, or when it is time for the next try.
    fn poll_fd(&self) -> Option<PollFd<'_>> {
        let responder = self.responder.as_ref()?.as_fd();
        let fd = self.retry.as_ref().map_or(responder, AsFd::as_fd);
        Some(PollFd::new(fd, PollFlags::POLLIN))
    }

    fn has_died(&self) -> bool {
        let mut ready: Vec<_> = self.poll_fd().into_iter().collect();
        poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }

    /// Starts the responder again. The container runs on without it if that fails.
    fn restart(&mut self) {
        let Some(responder) = &mut self.responder else { return };
        let restarted = responder.restart();
        self.plan_retry(restarted);
    }

    fn plan_retry(&mut self, restarted: Result<Restart>) {
        match restarted {
            Ok(Restart::Done) => {
                (self.retry, self.delay) = (None, FIRST_DELAY);
                return;
            }
            Ok(Restart::ByAnother) => {}
            Err(error) => {
                if self.delay == FIRST_DELAY {
                    let what = "containers resolve no names: the DNS responder has \
                                died, and cannot be started again yet";
                    kit::warn_error(what, &error);
                }
                self.delay = LONGEST_DELAY.min(self.delay * 2);
            }
        }
        match timer(self.delay) {
            Ok(timer) => self.retry = Some(timer),
            Err(_) => self.responder = None,
        }
    }
}

/// A descriptor that is readable after `delay`: timerfd_create(2).
fn timer(delay: Duration) -> io::Result<OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
    let once = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec {
            tv_sec: delay.as_secs() as i64,
            tv_nsec: delay.subsec_nanos().into(),
        },
    };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once)?;
    Ok(timer)
}

impl Foreground for WatchedResponder<'_> {
    fn poll_fds(&self) -> Vec<PollFd<'_>> {
        let mut fds = self.terminal.poll_fds();
        fds.extend(self.poll_fd());
        fds
    }

    fn relay(&mut self) -> Result<()> {
        if self.has_died() {
            self.restart();
        }
        self.terminal.relay()
    }

    fn on_signal(&mut self, received: &Received, command: &Process) -> Result<bool> {
        self.terminal.on_signal(received, command)
    }

    fn suspend(&mut self, command: &Process, signal: i32) -> Result<()> {
        self.terminal.suspend(command, signal)
    }

    fn release(&mut self, command: &Process) -> Result<()> {
        self.terminal.release(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    struct NoTerminal;

    impl Foreground for NoTerminal {
        fn on_signal(&mut self, _: &Received, _: &Process) -> Result<bool> {
            Ok(false)
        }

        fn suspend(&mut self, _: &Process, _: i32) -> Result<()> {
            Ok(())
        }

        fn release(&mut self, _: &Process) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_a_start_that_fails_makes_the_next_try_later_whatever_its_errno() {
        let mut terminal = NoTerminal;
        let mut watched = WatchedResponder::new(&mut terminal, None);
        watched.plan_retry(Ok(Restart::ByAnother));
        assert_eq!(watched.delay, FIRST_DELAY);
        assert!(watched.retry.is_some());
        // fork(2) at the limit of processes
        for factor in [2, 4] {
            let forked = kit::call("", "fork", "", || Err::<(), _>(Errno::EAGAIN));
            watched.plan_retry(forked.map(|()| Restart::Done));
            assert_eq!(watched.delay, FIRST_DELAY * factor);
        }
        watched.plan_retry(Ok(Restart::Done));
        assert_eq!(watched.delay, FIRST_DELAY);
        assert!(watched.retry.is_none());
    }
}
