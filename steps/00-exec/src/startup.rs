//! The parent's side of a start: it handles the child's messages until the exec or
//! the failure.

use std::os::fd::AsFd;

use anyhow::{Context, Result};
use kit::interrupt::{self, Wait};
use kit::{Failure, narration};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::channel::{Channel, Message};
use crate::child::Child;
use crate::spawn::ForChild;

/// The time that an exec may take after a signal that is to end this process, in
/// milliseconds.
const EXEC_TIMEOUT: u16 = 1000;

impl Child {
    /// Handles the child's messages until it has become the command, or has failed.
    ///
    /// `runtime` is set in an init: the channel to the runtime, which is the init's
    /// parent. `at_sync_point` is the parent's work while the child waits for it.
    pub(crate) fn handle_messages_until_started(
        &mut self,
        runtime: Option<&Channel>,
        mut at_sync_point: Option<ForChild<'_>>,
    ) -> Result<()> {
        // The parent of an init reads these signals itself, and ends the init.
        let wait = runtime.is_none().then(Wait::new).transpose();
        let wait = wait.context("signalfd(signals)")?;
        let mut executing = false;
        loop {
            if let Some(wait) = &wait {
                self.wait_for_message(wait, executing)?;
            }
            match self.channel().receive()? {
                Some((Message::Narrated(line), _)) => narration::relay(line),
                Some((Message::Descriptor, descriptor)) => {
                    self.keep_descriptor(descriptor)
                }
                Some((Message::Executing, _)) => {
                    // With --explain=step, a reader may have ended the run meanwhile.
                    wait.as_ref().map_or(Ok(()), |_| interrupt::check())?;
                    executing = true;
                    runtime.map_or(Ok(()), Channel::announce_exec)?;
                    self.channel().send(&Message::Go)?;
                }
                Some((Message::AtSyncPoint, _)) => {
                    at_sync_point.take().map_or(Ok(()), |work| work(self.pid()))?;
                    self.channel().send(&Message::Go)?;
                }
                Some((Message::Failed(failure), _)) => return Err(failure.into()),
                Some((Message::Started, _)) => return Ok(()),
                Some((Message::Go | Message::Stopped(_) | Message::Cloned(_), _)) => {}
                // The kernel has closed the child's end at the exec: it has worked.
                None if executing => return Ok(()),
                None => return Err(self.died_early()),
            }
        }
    }

    /// Returns why the child has failed, if it has. An error of the parent is then only
    /// a consequence.
    pub(crate) fn reported_failure(&self) -> Option<Failure> {
        while wait_for(
            &mut [PollFd::new(self.channel().as_fd(), PollFlags::POLLIN)],
            0u16,
        )
        .ok()?
        {
            match self.channel().receive().ok()?? {
                (Message::Failed(failure), _) => return Some(failure),
                (Message::Narrated(line), _) => narration::relay(line),
                _ => {}
            }
        }
        None
    }

    /// Waits for a message, or fails when a signal is to end this process. The child
    /// may hang, perhaps in a file system that does not answer; dropping the child
    /// then kills it.
    fn wait_for_message(&self, wait: &Wait, executing: bool) -> Result<()> {
        let Err(error) = wait.until_readable(self.channel().as_fd()) else {
            return Ok(());
        };
        // If the command runs by now, it has received the signal from the keyboard,
        // or we shall forward it.
        let message = PollFd::new(self.channel().as_fd(), PollFlags::POLLIN);
        if executing && wait_for(&mut [message], EXEC_TIMEOUT)? {
            return Ok(());
        }
        interrupt::check()?;
        Err(error).context("poll(the child), to see it start")
    }

    fn died_early(&mut self) -> anyhow::Error {
        let how = self.reap().map_or_else(
            |error| Failure::of(&error).to_string(),
            |status| status.to_string(),
        );
        Failure::new(format_args!("the child died before it became the command: {how}"))
            .into()
    }
}

/// Waits until a descriptor is ready or the time is over; returns whether one is
/// ready.
fn wait_for(
    ready: &mut [PollFd<'_>],
    timeout: impl Into<PollTimeout> + Copy,
) -> Result<bool> {
    loop {
        match poll(ready, timeout) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::EINTR) => {}
            Err(error) => {
                return Err(error).context("poll(the child), to see it start");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_a_descriptor_is_ready_or_the_time_is_over() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let is_ready = || {
            wait_for(&mut [PollFd::new(reader.as_fd(), PollFlags::POLLIN)], 0u16)
                .unwrap()
        };
        assert!(!is_ready());
        nix::unistd::write(&writer, b"x").unwrap();
        assert!(is_ready());
    }
}
