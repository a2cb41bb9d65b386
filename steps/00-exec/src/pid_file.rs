//! `--pid-file`: tells others which process the command is, as long as it lives.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use kit::{Hint, Id};
use nix::unistd::{AccessFlags, access};

use crate::child::Child;

/// Where the process id is to be written, if anywhere.
#[derive(Debug)]
pub struct PidFile(Option<PathBuf>);

/// A file with the process id of a running command. Dropping it removes the file.
#[derive(Debug)]
pub struct Written(Option<(PathBuf, String)>);

impl PidFile {
    /// Says at once that the file cannot be written, before anything is started.
    ///
    /// # Errors
    /// When its directory is not there, or may not be written.
    pub fn at(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(PidFile(None)) };
        let directory = path
            .parent()
            .filter(|it| !it.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        kit::call(
            "can a pid file be made here?",
            "access",
            format_args!("{}, W_OK", directory.display()),
            || access(directory, AccessFlags::W_OK),
        )
        .hint(HINT)?;
        Ok(PidFile(Some(path.into())))
    }

    /// Writes the file: aside first, then renamed, so that who reads it never reads
    /// half.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(self, child: &Child) -> Result<Written> {
        let PidFile(Some(path)) = self else { return Ok(Written(None)) };
        let text = format!("{}\n", child.pid());
        let mut aside = path.as_os_str().to_os_string();
        // and new: nobody can have put a link there
        aside.push(format!(".{}", Id::random()?));
        let write = || {
            let mut file = File::create_new(&aside)?;
            let written = file
                .write_all(text.as_bytes())
                .and_then(|()| fs::rename(&aside, &path));
            written.inspect_err(|_| drop(fs::remove_file(&aside)))
        };
        kit::call(
            "--pid-file: others find the process by it",
            "write",
            path.display(),
            write,
        )
        .hint(HINT)?;
        Ok(Written(Some((path, text))))
    }
}

const HINT: &str = "--pid-file names a file in a directory that you may write";

fn read(path: &Path) -> io::Result<String> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let mut text = String::new();
    File::options()
        .read(true)
        .custom_flags(flags)
        .open(path)?
        .take(LONGEST)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// More than any process id and its newline have.
const LONGEST: u64 = 32;

impl Drop for Written {
    fn drop(&mut self) {
        let Some((path, text)) = &self.0 else { return };
        // By now it may be gone, or another's; or, where the container can write, a
        // FIFO or a link.
        if read(path).is_ok_and(|now| now == *text) {
            let _ = fs::remove_file(path);
        }
    }
}
