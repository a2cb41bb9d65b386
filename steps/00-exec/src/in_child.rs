//! The child's side of a start: dying with its parent, and ending without an exec.

use std::convert::Infallible;
use std::io::Write;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use kit::Failure;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::Signal;

use crate::channel::{Channel, Message, OnParentDeath};
use crate::sys;

/// Has the kernel kill this process when its parent dies, so that a `kill -9` of the
/// runtime ends the command; unless it was spawned with [`OnParentDeath::KeepRunning`].
/// A change of ids clears this setting, so call it again after one.
///
/// # Errors
/// When the parent is dead already.
#[track_caller]
pub fn die_with_parent(parent: &Channel) -> Result<()> {
    if parent.on_parent_death() == OnParentDeath::Kill {
        // prctl(2), PR_SET_PDEATHSIG: an exec of a set-user-ID program clears it, too.
        kit::call(
            "if the runtime is killed, so are we",
            "prctl",
            "PR_SET_PDEATHSIG, SIGKILL",
            || prctl::set_pdeathsig(Signal::SIGKILL),
        )?;
    }
    // The parent may have died before the call. Then its end of the channel is closed.
    let mut ready = [PollFd::new(parent.as_fd(), PollFlags::POLLIN)];
    poll(&mut ready, PollTimeout::ZERO)
        .context("poll(the runtime), to see that it is alive")?;
    match ready[0].revents() {
        Some(events) if events.contains(PollFlags::POLLHUP) => {
            Err(Failure::new("the runtime died before the command started").into())
        }
        _ => Ok(()),
    }
}

/// Makes a panic end this child at once, with an error that the parent reports.
pub(crate) fn end_on_panic(parent: &'static Channel) {
    std::panic::set_hook(Box::new(move |panic| {
        fail_child(parent, &Failure::of_panic(panic).into());
    }));
}

/// Ends this child with an error that the parent reports.
pub fn fail_child(parent: &Channel, error: &anyhow::Error) -> ! {
    let failure = Failure::of(error);
    let code = failure.exit_code();
    // If the parent is gone, nobody can be told.
    let _ = parent.send(&Message::Failed(failure));
    exit_child(code)
}

/// Ends this child successfully without an exec, once its own work is done.
///
/// # Errors
/// When its output cannot be written.
pub fn finish_child(parent: &Channel) -> Result<Infallible> {
    std::io::stdout().flush().context("write to stdout")?;
    parent.send_started()?;
    exit_child(0)
}

/// Ends this child at once, without the exit handlers and guards of its parent.
pub fn exit_child(code: u8) -> ! {
    match sys::exit_now(code.into()) {}
}
