//! The duties of PID 1: it forwards signals, and reaps orphans.

use std::convert::Infallible;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use exec::{
    BeforeExec, Channel, Child, CloneFlags, Command, Signals, Spawn, Status, exit_child,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rustix::io::Errno;
use rustix::process::{WaitOptions, waitpid};

use crate::sys;

/// Becomes an init, with the command as its child.
pub(crate) fn become_init(
    command: &Command,
    before_exec: &BeforeExec<'_>,
    parent: &Channel,
) -> Result<Infallible> {
    exec::close_other_fds(&before_exec.needed(parent))?;
    // The environment is the caller's, and /proc/1/environ would show it in the
    // container.
    sys::clear_environment();
    // The descriptors of our callers are closed now, so we must not return to them.
    let Err(error) = run(command, before_exec, parent);
    exec::fail_child(parent, &error)
}

// ANCHOR: run
/// Runs the command as a child, and exits with its status. When PID 1 exits, the kernel
/// kills all other processes of the namespace.
// Task 2.3: wait for signals and for children, also for those of other parents.
fn run(
    command: &Command,
    before_exec: &BeforeExec<'_>,
    parent: &Channel,
) -> Result<Infallible> {
    let signals = Signals::block()?;
    let child = start(command, before_exec, parent)?;
    parent.send_started()?;
    // Task 2.3 begins.
    loop {
        wait_for(&signals)?;
        for received in signals.read()? {
            match received.name() {
                Some(Signal::SIGCHLD) => {
                    if let Some(status) = reap(child.pid(), parent)? {
                        exit_child(status.code())
                    }
                }
                _ if received.must_be_forwarded() => child.forward(&received)?,
                _ => {} // The keyboard has sent it to the command, too.
            }
        }
    }
}

/// Starts the command below the init. By then the init has given up what the command
/// must not have (step 9): the command could otherwise take it over by ptrace(2).
fn start(
    command: &Command,
    before_exec: &BeforeExec<'_>,
    parent: &Channel,
) -> Result<Child> {
    let confine = || before_exec.confine.map_or(Ok(()), |confine| confine());
    Spawn::new(CloneFlags::empty())
        .below_init(parent)
        .at_sync_point(|_| confine())
        .spawn(|init| {
            init.sync()?;
            exec::become_command_after(command, before_exec, init)
        })
}
// ANCHOR_END: run

// ANCHOR: reap
/// Reaps every child that has ended. Returns the status of the command, if it is among
/// them.
// Task 2.4: until there is none: one SIGCHLD may stand for several children.
fn reap(command: Pid, parent: &Channel) -> Result<Option<Status>> {
    let mut ended = None;
    loop {
        match waitpid(None, WaitOptions::NOHANG | WaitOptions::UNTRACED) {
            Ok(None) | Err(Errno::CHILD) => return Ok(ended),
            // An orphan needs nothing but to be reaped.
            Ok(Some((pid, _))) if pid.as_raw_pid() != command.as_raw() => {}
            Ok(Some((_, status))) => {
                if let Some(signal) = status.stopping_signal() {
                    parent.send_stopped(signal)?;
                }
                ended = Status::of(status.exit_status(), status.terminating_signal())
            }
            Err(error) => return Err(error).context("waitpid(any child)"),
        }
    }
}
// ANCHOR_END: reap

fn wait_for(signals: &Signals) -> Result<()> {
    match poll(
        &mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)],
        PollTimeout::NONE,
    ) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error).context("poll(signals)"),
    }
}
