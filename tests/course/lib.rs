//! The course as its own programs know it: the files of its workspace, the tasks of its
//! chapters, and the packages of the programs that it uses.
//!
//! The learner's command needs no more than this, and so is built quickly.

pub mod checkout;
pub mod programs;
pub mod tasks;

use std::path::{Path, PathBuf};

/// Returns the root directory of the workspace in which this library was built.
pub fn workspace() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("tests/course is in the workspace").into()
}
