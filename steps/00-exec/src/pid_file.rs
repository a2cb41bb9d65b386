//! `--pid-file`: tells others which process the command is, as long as it lives.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use kit::Hint;

use crate::child::Child;

/// A file with the process id of a running command. Dropping it removes the file.
#[derive(Debug)]
pub struct PidFile(Option<PathBuf>);

impl PidFile {
    /// Writes the file: aside first, then renamed, so that who reads it never reads half.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(path: Option<&Path>, child: &Child) -> Result<Self> {
        let Some(path) = path else { return Ok(PidFile(None)) };
        let mut aside = path.as_os_str().to_os_string();
        aside.push(format!(".{}", std::process::id()));
        let write =
            || fs::write(&aside, format!("{}\n", child.pid())).and_then(|()| fs::rename(&aside, path));
        let written = kit::call("who it is, for others", "write", path.display(), write);
        written.hint("--pid-file names a file in a directory that you may write")?;
        Ok(PidFile(Some(path.into())))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // It may have been removed by who read it.
        let _ = self.0.as_ref().map(fs::remove_file);
    }
}
