//! The parent's side of the container's terminal: carries bytes, follows the window
//! size, and restores the caller's terminal.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use exec::{Foreground, Process, Received, stop_self};
use kit::interrupt;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use rustix::io::Errno;
use rustix::termios::tcsetwinsize;

use crate::callers_terminal::window_size;
use crate::keyboard::{Keyboard, Typed};
use crate::pty::PtyMaster;
use crate::screen::Screen;

/// Carries bytes between the caller's streams and the container's terminal, if it has
/// one.
pub struct Relay {
    pty: Option<PtyMaster>,
    keyboard: Keyboard,
    last_output: LastOutput,
}

/// The time that the last output may take, once the command has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastOutput {
    /// As long as the reader of the output needs: `run ls | less`.
    Unlimited,
    /// Until the reader has taken nothing for a second: a signal has told us to end.
    Limited,
}

impl Relay {
    /// `output` is our stream that shows the output of the container's terminal.
    pub(crate) fn new(
        master: Option<OwnedFd>,
        output: BorrowedFd<'static>,
    ) -> Result<Self> {
        let pty = master
            .map(|master| PtyMaster::new(master, Screen::on(output)))
            .transpose()?;
        let keyboard = Keyboard::new(pty.is_some());
        let mut relay = Relay { pty, keyboard, last_output: LastOutput::Unlimited };
        relay.take_keyboard()?;
        Ok(relay)
    }

    fn take_keyboard(&mut self) -> Result<()> {
        self.pty.as_ref().map_or(Ok(()), |pty| self.keyboard.take(pty))
    }

    fn read_keys(&mut self) -> Result<()> {
        let Some(pty) = &mut self.pty else { return Ok(()) };
        match self.keyboard.read(pty)? {
            Typed::Keys(keys) => pty.unsent_keys.extend(keys),
            Typed::Nothing => {}
            Typed::HungUp => self.hang_up(),
        }
        Ok(())
    }

    fn show(&mut self) -> Result<()> {
        let Some(pty) = &mut self.pty else { return Ok(()) };
        match pty.screen.show() {
            // `| head -1`: the reader has closed the pipe, or the terminal is gone
            Err(Errno::PIPE | Errno::IO | Errno::BADF) => self.hang_up(),
            shown => shown.context("write, for what the container prints")?,
        }
        Ok(())
    }

    /// Hangs up the container's terminal, because the caller's terminal or the reader
    /// of the output is gone. A shell on the container's terminal then ends.
    fn hang_up(&mut self) {
        self.pty = None;
        self.keyboard.close();
    }

    /// Shows the output that is not shown yet when the command has ended.
    fn show_last_output(&mut self) -> Result<()> {
        let termination = interrupt::termination().context("signalfd(signals)")?;
        self.keyboard.restore_input();
        while let Some(pty) = &mut self.pty {
            pty.take_output()?;
            let Some(writable) = pty.screen.interest() else { return Ok(()) };
            let mut ready =
                [writable, PollFd::new(termination.as_fd(), PollFlags::POLLIN)];
            let count = match self.last_output {
                LastOutput::Unlimited => poll(&mut ready, PollTimeout::NONE),
                LastOutput::Limited => {
                    poll(&mut ready[..1], PollTimeout::from(1000u16))
                }
            };
            if count == Ok(0) {
                return Ok(());
            }
            if ready[1].any() == Some(true) {
                self.last_output = LastOutput::Limited;
            }
            self.show()?;
        }
        Ok(())
    }
}

impl Foreground for Relay {
    fn poll_fds(&self) -> Vec<PollFd<'_>> {
        let Some(pty) = &self.pty else { return Vec::new() };
        let mut interests = pty.interests();
        interests.extend(self.keyboard.interests(pty));
        interests
    }

    fn relay(&mut self) -> Result<()> {
        // `fg` brings a running job to the foreground without a signal
        self.take_keyboard()?;
        self.read_keys()?;
        if let Some(pty) = &mut self.pty {
            pty.write_keys()?;
            pty.take_output()?;
        }
        self.show()
    }

    fn on_signal(&mut self, received: &Received, command: &Process) -> Result<bool> {
        let Some(signal) = received.name() else { return Ok(false) };
        if matches!(signal, Signal::SIGINT | Signal::SIGQUIT | Signal::SIGTERM) {
            self.last_output = LastOutput::Limited;
        }
        match signal {
            Signal::SIGWINCH => {
                if let (Some(pty), Some(size)) = (&self.pty, window_size()) {
                    // if this fails, the next change of size may succeed
                    let _ = tcsetwinsize(&pty.master, size);
                }
                Ok(true)
            }
            Signal::SIGCONT => {
                self.take_keyboard()?;
                Ok(false)
            }
            // The container is in a session of its own, so the caller's terminal sends
            // it no signals.
            Signal::SIGINT | Signal::SIGQUIT if !received.was_sent => {
                command.forward(received)?;
                Ok(true)
            }
            Signal::SIGHUP if !received.was_sent => {
                self.hang_up();
                command.forward(received)?;
                Ok(true)
            }
            Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU
                if !received.was_sent =>
            {
                self.suspend(command, received.number)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn suspend(&mut self, command: &Process, signal: i32) -> Result<()> {
        self.keyboard.release();
        // The caller's shell takes over here, until fg or bg.
        stop_self(signal)?;
        self.take_keyboard()?;
        command.signal(Signal::SIGCONT)
    }

    fn release(&mut self, _command: &Process) -> Result<()> {
        let shown = self.show_last_output();
        self.keyboard.release();
        shown
    }
}
