//! Step 2: the PID and IPC namespaces. PID 1 is the command, or an init that does the
//! duties of PID 1. See pid_namespaces(7) and ipc_namespaces(7).

mod args;
mod init;
mod sealed;
mod sys;

use std::convert::Infallible;

use anyhow::Result;
use exec::{BeforeExec, Channel, Command};
use nix::sched::CloneFlags;

pub use args::Args;
pub use sealed::{protect_program, run_protected, run_sealed, sealed_copy};

/// The namespaces of this step: clone(2), CLONE_NEWPID and CLONE_NEWIPC.
pub const NAMESPACES: CloneFlags =
    CloneFlags::CLONE_NEWPID.union(CloneFlags::CLONE_NEWIPC);

/// The process that is PID 1 of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pid1 {
    /// The command itself.
    Command,
    /// A minimal init, with the command as its child.
    Init,
}

/// Becomes the command as PID 1, or an init with the command as its child.
///
/// # Errors
/// As [`exec::become_command`].
pub fn become_command(
    command: &Command,
    pid_1: Pid1,
    parent: &Channel,
) -> Result<Infallible> {
    become_command_after(command, pid_1, &BeforeExec::default(), parent)
}

// ANCHOR: become_command
/// Becomes PID 1 as [`become_command`] does, after the work of later steps.
///
/// # Errors
/// As [`exec::become_command_after`].
// Task 2.2: the calling process is PID 1: it was cloned into a new PID namespace.
pub fn become_command_after(
    command: &Command,
    pid_1: Pid1,
    before_exec: &BeforeExec<'_>,
    parent: &Channel,
) -> Result<Infallible> {
    match pid_1 {
        Pid1::Command => exec::become_command_after(command, before_exec, parent),
        Pid1::Init => init::become_init(command, before_exec, parent),
    }
}
// ANCHOR_END: become_command
