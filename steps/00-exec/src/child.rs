//! The parent's side of a started process: waits until the command ends, and meanwhile
//! forwards signals and serves the terminal.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::channel::{Channel, Message};
use crate::foreground::{Foreground, Job};
use crate::process::Process;
use crate::repeat::Repeats;
use crate::signals::{Received, Signals};
use crate::status::Status;

/// A running command. If it is dropped before the command has ended, the command is
/// killed.
pub struct Child {
    process: Process,
    channel: Channel,
    /// False once the other end has closed: no message can come any more.
    listening: bool,
    signals: Signals,
    repeats: Repeats,
    job: Job,
    descriptors: Vec<OwnedFd>,
    /// False once the command has ended or may run on: then dropping this does
    /// nothing.
    kill_on_drop: bool,
}

impl Child {
    pub(crate) fn new(
        process: Process,
        channel: Channel,
        signals: Signals,
        job: Job,
    ) -> Self {
        Child {
            process,
            channel,
            listening: true,
            signals,
            repeats: Repeats::default(),
            job,
            descriptors: Vec::new(),
            kill_on_drop: true,
        }
    }

    /// Returns its process id, as the host sees it.
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(crate) fn keep_descriptor(&mut self, descriptor: Option<OwnedFd>) {
        self.descriptors.extend(descriptor);
    }

    /// Takes a descriptor that the child has sent over the channel.
    pub fn descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop()
    }

    /// Sets the number of the signal that the command is sent in place of SIGTERM: an
    /// image may ask for another one.
    pub fn set_stop_signal(&mut self, signal: i32) {
        self.process.set_stop_signal(signal);
    }

    /// Forwards a signal that this process has received.
    ///
    /// # Errors
    /// The kernel's reason of pidfd_send_signal(2).
    pub fn forward(&self, received: &Received) -> Result<()> {
        self.process.forward(received)
    }

    /// Lets the command run on when this process ends, and returns its process id and
    /// its pidfd. The command must have been started with
    /// [`crate::OnParentDeath::KeepRunning`], or the kernel kills it then.
    ///
    /// # Errors
    /// When the descriptor cannot be duplicated or the terminal cannot be taken back;
    /// then the command is killed.
    pub fn detach(mut self) -> Result<(Pid, OwnedFd)> {
        let pidfd = self.process.as_fd().try_clone_to_owned().context("dup(pidfd)")?;
        self.job.terminal().release(&self.process)?;
        self.kill_on_drop = false;
        Ok((self.pid(), pidfd))
    }

    /// Waits until the command ends. Meanwhile it forwards the signals that this
    /// process is sent to the command, and Ctrl-Z stops both.
    ///
    /// # Errors
    /// The kernel's reason of poll(2) or waitid(2).
    pub fn wait(self) -> Result<Status> {
        let job = self.job;
        self.wait_at(&mut job.terminal())
    }

    // ANCHOR: wait_at
    /// Waits as [`Child::wait`] does, and meanwhile serves `terminal`.
    ///
    /// # Errors
    /// The kernel's reason of poll(2) or waitid(2), and the errors of `terminal`.
    // Task 0.3: a pidfd is readable once its process has ended, so no end is missed.
    pub fn wait_at(mut self, terminal: &mut dyn Foreground) -> Result<Status> {
        loop {
            let events = self.wait_for_events(terminal)?;
            if events.signal {
                self.on_signal(terminal)?;
            }
            if events.message {
                self.on_message(terminal)?;
            }
            if events.terminal {
                terminal.relay()?;
            }
            if events.ended {
                return self.finish(terminal);
            }
        }
    }
    // ANCHOR_END: wait_at

    fn finish(&mut self, terminal: &mut dyn Foreground) -> Result<Status> {
        terminal.release(&self.process)?; // before the shell goes on there
        self.reap()
    }

    fn wait_for_events(&self, terminal: &dyn Foreground) -> Result<Events> {
        let mut fds = vec![
            PollFd::new(self.process.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(terminal.poll_fds());
        if self.listening {
            fds.push(PollFd::new(self.channel.as_fd(), PollFlags::POLLIN));
        }
        while let Err(error) = poll(&mut fds, PollTimeout::NONE) {
            if error != Errno::EINTR {
                return Err(error).context("poll(the command)");
            }
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        let (own, rest) = ready.split_at(2);
        let (message, terminal) = match rest.split_last() {
            Some((last, rest)) if self.listening => (*last, rest),
            _ => (false, rest),
        };
        Ok(Events {
            ended: own[0],
            signal: own[1],
            message,
            terminal: terminal.contains(&true),
        })
    }

    fn on_signal(&mut self, terminal: &mut dyn Foreground) -> Result<()> {
        for received in self.signals.read()? {
            match received.name() {
                Some(Signal::SIGCHLD) => {
                    if let Some(signal) = self.process.stopping_signal()? {
                        self.on_stop(terminal, signal)?;
                    }
                }
                _ if self.repeats.is_repeat(&received, Instant::now()) => {}
                _ if terminal.on_signal(&received, &self.process)? => {}
                _ if received.must_be_forwarded() => self.forward(&received)?,
                // The keyboard has sent it to the command, too.
                _ => {}
            }
        }
        Ok(())
    }

    fn on_message(&mut self, terminal: &mut dyn Foreground) -> Result<()> {
        match self.channel.receive()? {
            Some((Message::Stopped(signal), _)) => self.on_stop(terminal, signal),
            // The init has failed, and the command ends with it.
            Some((Message::Failed(failure), _)) => Err(failure.into()),
            Some(_) => Ok(()),
            None => {
                self.listening = false;
                Ok(())
            }
        }
    }

    fn on_stop(&self, terminal: &mut dyn Foreground, signal: i32) -> Result<()> {
        match self.job.must_stop(&self.process, signal) {
            true => terminal.suspend(&self.process, signal),
            false => Ok(()),
        }
    }

    /// Waits until the command has ended, and reaps it.
    pub(crate) fn reap(&mut self) -> Result<Status> {
        let status = self.process.reap()?;
        self.kill_on_drop = false;
        Ok(status)
    }
}

/// Its pidfd.
impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.kill_on_drop {
            // An error is being returned already, so errors of these calls are not
            // reported.
            let _ = self.process.signal(Signal::SIGKILL);
            // The command may have taken the terminal before it failed.
            let _ = self.job.terminal().release(&self.process);
            let _ = self.reap();
        }
    }
}

/// The events that have woken the parent.
struct Events {
    ended: bool,
    signal: bool,
    message: bool,
    terminal: bool,
}
