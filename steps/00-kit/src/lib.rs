//! What every step shares and no chapter is about.
//!
//! - [`call()`]: the one way to call the kernel. It narrates the call and puts its
//!   name, operand and reason into the error.
//! - [`Failure`] and [`Hint`]: errors a person can act on, with the exit code they end
//!   in.
//! - [`narration`]: where the narration of `--explain` goes.
//! - [`Id`] and [`RunDir`]: what a container is called, and the locked directory that
//!   says it lives.
//! - [`doctor`]: checks of the kernel and the host, with the mend.
//! - [`program`]: the frame of every step's `main`, and [`Lesson`]: what its help
//!   teaches.

mod call;
pub mod doctor;
mod failure;
mod find_program;
mod id;
mod kernel_file;
mod lesson;
mod liveness;
pub mod narration;
mod output;
pub mod program;
mod run_dir;
#[cfg(test)]
mod scratch;
mod write_whole;

pub use anyhow::{Context, Result};
pub use call::{Outcome, announce, call};
pub use failure::{Failure, FailureKind, Hint, errno, readable, reason, together};
pub use find_program::find_program;
pub use id::{Id, host_name, random};
pub use kernel_file::{open_directory, read_kernel_file};
pub use lesson::Lesson;
pub use liveness::{ContainerState, Liveness, liveness};
pub use output::{notice, print, warn, warn_error};
pub use run_dir::{
    Abandoned, RunDir, RunDirArgs, ours_alone, still_there, unless_gone,
};
pub use write_whole::{unfinished_name, write_whole, write_whole_at};
