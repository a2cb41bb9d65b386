//! Step 0: fork, exec, wait.
//!
//! - [`Spawn`] starts a process in new namespaces; without any, it shares everything
//!   with its parent.
//! - [`become_command`] makes that process execute the command.
//! - [`Child::wait`] waits until the command ends, and returns its exit status.
//!
//! Between the clone and the exec, parent and child are connected by a [`Channel`]. It
//! carries errors, narration and go-aheads, and when either side dies the other reads
//! an end of file.

mod args;
mod before_exec;
mod channel;
mod child;
mod command;
mod elf;
mod foreground;
mod in_child;
mod intermediate;
mod interpreter;
mod join;
mod pid_file;
mod process;
mod repeat;
mod signals;
mod spawn;
mod startup;
mod status;
mod sys;

pub use args::{CommandArgs, environment};
pub use before_exec::{BeforeExec, EXEC_IS_NEXT, Gate};
pub use channel::{Channel, OnParentDeath, send_with_descriptors};
pub use child::Child;
pub use command::{Command, become_command, become_command_after, close_other_fds};
pub use foreground::{Foreground, Job};
pub use in_child::{die_with_parent, exit_child, fail_child, finish_child};
pub use join::{Namespace, join_all};
pub use nix::sched::CloneFlags;
pub use pid_file::PidFile;
pub use process::Process;
pub use signals::{Received, Signals, stop_self};
pub use spawn::{CLONE_NEWTIME, Spawn};
pub use status::Status;
pub use sys::pidfd_send_signal;
