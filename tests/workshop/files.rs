//! Writes files. An error names the file.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use kiste_course::checkout;

/// Writes a file, and makes its directory.
///
/// # Errors
/// When one of both cannot be made.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let directory = path.parent().context("no directory")?;
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(path, text))
        .with_context(|| path.display().to_string())
}

/// Replaces the text of a file, which is there at any time: before or after the change.
///
/// # Errors
/// When it cannot be written.
pub fn replace(path: &Path, text: &str) -> Result<()> {
    checkout::replace(path, text).with_context(|| path.display().to_string())
}
