//! Step 0: fork, exec, wait.
//!
//! - [`Spawn`] starts a process that shares as much with its parent as its namespaces
//!   say: with none, everything.
//! - [`become_command`] makes that process the command that was asked for.
//! - [`Child::wait`] keeps it company until it ends, and says how.
//!
//! Between the clone and the exec, parent and child speak over a [`Channel`]: errors,
//! narration and go-aheads cross it, and when either side dies the other reads an end
//! of file.

mod args;
mod channel;
mod child;
mod command;
mod interpreter;
mod pid_file;
mod signals;
mod spawn;
mod status;
mod sys;
mod terminal;

pub use args::{CommandArgs, Defaults};
pub use channel::Channel;
pub use child::Child;
pub use command::{Command, become_command, keep_only};
pub use nix::sched::CloneFlags;
pub use pid_file::PidFile;
pub use signals::{Received, Signals, stop_by};
pub use spawn::{Spawn, die_with_parent, end, fail, finish};
pub use status::Status;
pub use terminal::{Foreground, Job, Terminal};
