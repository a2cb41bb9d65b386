//! A directory for what is not finished yet. It is locked while its maker lives; what a
//! `kill -9` leaves is found so, and removed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Store, open_directory};
use crate::unpack;

/// A directory of its own below `tmp`. Dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Temporary {
    path: PathBuf,
    parent: OwnedFd,
    _lock: File,
}

impl Store {
    /// Makes a directory for what is not finished yet.
    pub(crate) fn temporary(&self) -> Result<Temporary> {
        let parent = self.path().join("tmp");
        loop {
            let made = tempfile::Builder::new()
                .prefix("dir-")
                .tempdir_in(&parent)
                .context("mkdir(tmp)")?;
            let lock =
                File::open(made.path()).and_then(|lock| lock.lock().map(|()| lock));
            // Between mkdir and flock somebody may have taken it for a leftover.
            let Ok(lock) = lock else { continue };
            if made.path().exists() {
                return Ok(Temporary {
                    path: made.keep(),
                    parent: open_directory(&parent)?,
                    _lock: lock,
                });
            }
        }
    }

    /// Removes what makers who are dead have left in `tmp`.
    pub(crate) fn sweep(&self, files: Files) -> Result<()> {
        let parent = self.path().join("tmp");
        let directory = open_directory(&parent)?;
        for entry in fs::read_dir(&parent).context("read tmp")? {
            let entry = entry.context("read tmp")?;
            let found = fs::symlink_metadata(entry.path());
            let Ok(found) = found else { continue }; // gone by now
            if !found.is_dir() {
                if files == Files::All {
                    unpack::remove(&directory, &entry.file_name())?;
                }
                continue;
            }
            let Ok(lock) = File::open(entry.path()) else { continue };
            // Held until it is gone: who has just made it, and waits for the lock,
            // makes another.
            if lock.try_lock().is_ok() {
                unpack::remove(&directory, &entry.file_name())?;
            }
        }
        Ok(())
    }
}

/// Which files of `tmp` are removed: one that is being written has no lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Files {
    /// None: somebody may be writing one.
    Kept,
    /// All, by who is alone with the store and with its names.
    All,
}

impl Temporary {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // On the way out of an error that is already told; `sweep` finds what is left.
        let name = self.path.file_name().unwrap_or(OsStr::new("."));
        let _ = unpack::remove(&self.parent, name);
    }
}
