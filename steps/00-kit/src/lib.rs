//! The code that every step uses and no chapter explains.
//!
//! - [`call()`] is the one way to call the kernel. It narrates the call. An error has
//!   the call's name, its operands and the kernel's reason.
//! - [`Failure`] and [`Hint`] are errors that a person can act on, with an exit code.
//! - [`narration`] prints the lines of `--explain`.
//! - [`Id`] and [`RunDir`] are the name of a container, and its locked directory.
//! - [`liveness()`] tells whether a container is alive, for all code that collects
//!   garbage.
//! - [`interrupt`] has the waits that a signal ends: for a lock, or for a program.
//! - [`write_whole`] replaces a file: a reader finds the old text or the new one.
//! - [`doctor`] checks the kernel and the host, and says how to fix what is missing.
//! - [`program`] is the frame of every step's `main`; [`Lesson`] is the lesson in its
//!   help.

mod args;
mod call;
mod cli;
pub mod doctor;
mod failure;
mod file;
mod find_program;
mod first_process;
mod id;
pub mod interrupt;
mod liveness;
mod lock;
pub mod narration;
mod output;
mod process_identity;
pub mod program;
mod run_dir;
mod state_file;
mod sys;
mod write_whole;

pub use anyhow::{Context, Result};
pub use args::{DoctorArgs, ExplainArgs, RunDirArgs};
pub use call::{Outcome, announce, call};
pub use cli::{Lesson, styles};
pub use failure::{
    Failure, FailureKind, Hint, combine_errors, errno, escape_control_characters,
    reason,
};
pub use file::{
    ensure_private, if_exists, is_still_at, open_directory, open_regular,
    read_document, read_kernel_file,
};
pub use find_program::find_program;
pub use id::{Id, host_name, random};
pub use liveness::liveness;
pub use output::{notice, print, warn, warn_error};
pub use process_identity::{Liveness, ProcessIdentity};
pub use run_dir::{Abandoned, Owner, RunDir};
pub use state_file::STATE_FILE;
pub use write_whole::{Durability, unfinished_name, write_whole};
