//! The file `state.json` of a run directory.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};

use crate::failure::Hint;
use crate::lock::read_file;
use crate::process_identity::{Liveness, ProcessIdentity};

/// The file in the run directory that identifies the container's first process. The
/// runtime writes more into the same file.
pub const STATE_FILE: &str = "state.json";

/// The longest `state.json` that is read, in bytes; the annotations of a container are
/// in it.
pub const LONGEST_STATE: u64 = 1 << 20;

/// Tells by `state.json` alone whether the container is alive. The caller holds the
/// lock of the run directory.
pub(crate) fn liveness_by_state(directory: &File, run_dir: &Path) -> Result<Liveness> {
    let name = STATE_FILE;
    let Some(text) = read_file(directory, run_dir, name, LONGEST_STATE)? else {
        return Ok(Liveness::Gone);
    };
    ProcessIdentity::parse(&text)
        .and_then(|state| state.liveness())
        .with_context(|| run_dir.join(name).display().to_string())
        .hint("nothing of this container was removed: see whether it still runs")
}
