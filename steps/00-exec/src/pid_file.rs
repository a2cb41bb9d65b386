//! `--pid-file`: a file with the process id of the command, as long as the command
//! runs.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use kit::{Hint, Id};
use nix::unistd::{AccessFlags, access};

use crate::child::Child;

/// The path of a pid file that is to be written, if one was asked for.
#[derive(Debug)]
pub struct PidFile(Option<PathBuf>);

/// A file with the process id of a running command. Dropping it removes the file.
#[derive(Debug)]
pub struct WrittenPidFile(Option<(PathBuf, String)>);

impl PidFile {
    /// Checks that the file can be written, before anything is started.
    ///
    /// # Errors
    /// When its directory does not exist, or the caller may not write to it.
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

    /// Writes the file under another name and renames it, so that no reader finds half
    /// of it. It need not survive a reboot, so nothing is flushed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(self, child: &Child) -> Result<WrittenPidFile> {
        let PidFile(Some(path)) = self else { return Ok(WrittenPidFile(None)) };
        let text = format!("{}\n", child.pid());
        let mut temporary = path.as_os_str().to_os_string();
        // A random name and O_EXCL (`create_new`): the write does not follow a link that
        // another user has made.
        temporary.push(format!(".{}", Id::random()?));
        let write = || {
            let mut file = File::create_new(&temporary)?;
            let written = file
                .write_all(text.as_bytes())
                .and_then(|()| fs::rename(&temporary, &path));
            written.inspect_err(|_| drop(fs::remove_file(&temporary)))
        };
        kit::call(
            "--pid-file: others find the process by it",
            "write",
            path.display(),
            write,
        )
        .hint(HINT)?;
        Ok(WrittenPidFile(Some((path, text))))
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
        .take(READ_LIMIT)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// Enough bytes for any process id and its newline.
const READ_LIMIT: u64 = 32;

impl WrittenPidFile {
    /// Leaves the file, for a command that outlives this process.
    pub fn leave(mut self) {
        self.0 = None;
    }
}

impl Drop for WrittenPidFile {
    fn drop(&mut self) {
        let Some((path, text)) = &self.0 else { return };
        // By now the file may be removed or overwritten. If the container can write
        // there, it may also be a FIFO or a link.
        if read(path).is_ok_and(|now| now == *text) {
            let _ = fs::remove_file(path);
        }
    }
}
