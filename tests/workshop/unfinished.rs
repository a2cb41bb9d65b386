//! A directory that another process sees only when it is whole.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{Mode, OFlags};

/// A directory that is being made. Dropping it removes it, unless it was renamed. One
/// that a killed process has left is made anew.
pub struct Unfinished {
    pub path: PathBuf,
    _lock: File,
}

impl Unfinished {
    /// Makes it, empty.
    ///
    /// # Errors
    /// When it cannot be made, or another process is making it.
    pub fn create(path: PathBuf) -> Result<Self> {
        if let Err(error) = fs::create_dir(&path)
            && error.kind() != ErrorKind::AlreadyExists
        {
            bail!(
                "{}: {error}\nhint: name a place where you may make a directory",
                path.display()
            );
        }
        // It is emptied, so it must be no link to another directory; and what another
        // user may change is no workspace.
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let lock = rustix::fs::open(&path, flags | OFlags::CLOEXEC, Mode::empty())
            .map(File::from)
            .with_context(|| format!("{} is in the way", path.display()))?;
        ensure!(
            lock.metadata()?.uid() == rustix::process::geteuid().as_raw(),
            "{} is another user's",
            path.display()
        );
        lock.try_lock().with_context(|| {
            format!("another process is making it: {}", path.display())
        })?;
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
        Ok(Unfinished { path, _lock: lock })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
