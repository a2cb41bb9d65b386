//! The code that every step uses and no chapter explains.
//!
//! - [`call()`] is the one way to call the kernel. It narrates the call. An error has
//!   the call's name, its operands and the kernel's reason.
//! - [`Failure`] and [`Hint`] are errors that a person can act on, with an exit code.
//! - [`narration`] prints the lines of `--explain`.
//! - [`picture`] is the container as these lines make it, for `--explain=step` and the
//!   book. [`source`] finds their lines of code.
//! - [`Id`] and [`RunDir`] are the name of a container, and its locked directory.
//! - [`liveness()`] tells whether a container is alive, for all code that removes stale
//!   resources.
//! - [`interrupt`] has the waits that a signal ends: for a lock, or for a program.
//! - [`write_atomically`] replaces a file: a reader finds either the old or the new
//!   text.
//! - [`doctor`] checks the kernel and the host, and says how to fix what is missing.
//! - [`program`] wraps every step's `main`: help, errors and exit codes.
//! - [`Lesson`] is the examples and the chapter that a step's `--help` shows.

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
mod line;
mod liveness;
mod lock;
pub mod narration;
mod output;
mod parent_owners;
pub mod picture;
mod player;
mod process_identity;
pub mod program;
mod run_dir;
mod size;
pub mod source;
mod state_file;
mod sys;
mod write_atomically;

pub use anyhow::{Context, Result};
pub use args::{DoctorArgs, ExplainArgs, RunDirArgs, default_run_dir};
pub use call::{Outcome, announce, call};
pub use cli::{Lesson, styles};
pub use failure::{
    Failure, FailureKind, Hint, combine_errors, errno, escape_control_characters,
    reason,
};
pub use file::{
    ensure_private, if_exists, is_still_at, open_directory, open_regular,
    read_document, read_document_below, read_kernel_bytes, read_kernel_file,
};
pub use find_program::find_program;
pub use id::{Id, host_name, random};
pub use liveness::liveness;
pub use output::{notice, print, print_json, warn, warn_error};
pub use parent_owners::refuse_exchangeable;
pub use process_identity::{Liveness, ProcessIdentity};
pub use run_dir::{Abandoned, Keeper, Owner, RunDir};
pub use size::Size;
pub use state_file::{LONGEST_STATE, STATE_FILE};
pub use write_atomically::{
    Durability, temporary_name, write_atomically, write_atomically_below,
};
