//! `--pid-file`: tells others which process the command is, as long as it lives.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use kit::{Hint, Id};

use crate::child::Child;

/// A file with the process id of a running command. Dropping it removes the file.
#[derive(Debug)]
pub struct PidFile(Option<(PathBuf, String)>);

impl PidFile {
    /// Writes the file: aside first, then renamed, so that who reads it never reads half.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(path: Option<&Path>, child: &Child) -> Result<Self> {
        let Some(path) = path else { return Ok(PidFile(None)) };
        let text = format!("{}\n", child.pid());
        let mut aside = path.as_os_str().to_os_string();
        aside.push(format!(".{}", Id::random()?)); // and new: nobody can have put a link there
        let write = || {
            let mut file = File::create_new(&aside)?;
            let written = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&aside, path));
            written.inspect_err(|_| drop(fs::remove_file(&aside)))
        };
        let written = kit::call("who it is, for others", "write", path.display(), write);
        written.hint("--pid-file names a file in a directory that you may write")?;
        Ok(PidFile(Some((path.into(), text))))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let Some((path, text)) = &self.0 else { return };
        // By now it may be gone, or another's.
        if fs::read(path).is_ok_and(|now| now == text.as_bytes()) {
            let _ = fs::remove_file(path);
        }
    }
}
