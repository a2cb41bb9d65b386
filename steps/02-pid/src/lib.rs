//! Step 2: the PID and IPC namespaces. The command is PID 1, or an init is, with the
//! duties of PID 1. See pid_namespaces(7) and ipc_namespaces(7).

mod init;
mod sys;

use std::convert::Infallible;

use anyhow::Result;
use exec::{Channel, Command};
use nix::sched::CloneFlags;

/// The namespaces of this step: clone(2), CLONE_NEWPID and CLONE_NEWIPC.
pub const NAMESPACES: CloneFlags =
    CloneFlags::CLONE_NEWPID.union(CloneFlags::CLONE_NEWIPC);

/// Who is PID 1.
#[derive(clap::Args, Clone, Copy, Debug)]
#[group(id = "pid_options")]
pub struct Args {
    /// Make PID 1 a minimal init
    ///
    /// It sends signals on to the command, which is its child, and reaps orphans.
    #[arg(long)]
    init: bool,
}

// ANCHOR: become_command
/// Becomes the command as PID 1, or an init with the command as its child.
///
/// # Errors
/// As [`exec::become_command`].
// Task 2.2: whoever runs here is PID 1, because it was cloned into a new PID namespace.
pub fn become_command(
    command: &Command,
    args: Args,
    parent: &Channel,
) -> Result<Infallible> {
    if args.init {
        init::become_init(command, parent)
    } else {
        exec::become_command(command, parent)
    }
}
// ANCHOR_END: become_command
