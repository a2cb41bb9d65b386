//! The duties of PID 1: send signals on, and reap whoever has lost its parent.

use std::convert::Infallible;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use exec::{Channel, CloneFlags, Command, Signals, Spawn, Status, end};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Becomes an init, with the command as its child.
pub(crate) fn become_init(command: &Command, parent: &Channel) -> Result<Infallible> {
    exec::keep_only(parent)?;
    // What our callers had open is closed now, so we do not return to them.
    let Err(error) = run(command, parent);
    exec::fail(parent, &error)
}

// ANCHOR: run
/// Runs the command below us, and ends as it ends; with PID 1 the kernel ends all others.
fn run(command: &Command, parent: &Channel) -> Result<Infallible> {
    let child =
        Spawn::new(CloneFlags::empty()).below_init().spawn(|init| exec::become_command(command, init))?;
    parent.started()?;

    // Task 2.3: wait for signals, and for children: also for those that are not ours by birth.
    let signals = Signals::block()?;
    let (command, _keep) = (child.pid(), child);
    loop {
        wait_for(&signals)?;
        for received in signals.read()? {
            match received.signal {
                Signal::SIGCHLD => {
                    if let Some(status) = reap(command, parent)? {
                        end(status.code())
                    }
                }
                signal if received.was_sent => send_on(signal, command)?,
                _ => {} // from the keyboard: the command has had it already
            }
        }
    }
}
// ANCHOR_END: run

// ANCHOR: reap
/// Reaps all that have ended. The command's end is the end.
fn reap(command: Pid, parent: &Channel) -> Result<Option<Status>> {
    // Task 2.4: until there is none: one SIGCHLD may stand for many ends.
    let mut end = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(end),
            Ok(WaitStatus::Stopped(pid, _)) if pid == command => parent.stopped()?,
            Ok(status) if status.pid() == Some(command) => end = Status::of(status).or(end),
            Ok(_) => {} // an orphan: reaping it is all it needs
            Err(error) => return Err(error).context("wait for children"),
        }
    }
}
// ANCHOR_END: reap

fn send_on(signal: Signal, command: Pid) -> Result<()> {
    match kill(command, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("send {signal} on to the command")),
    }
}

fn wait_for(signals: &Signals) -> Result<()> {
    match poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error).context("wait for signals"),
    }
}
