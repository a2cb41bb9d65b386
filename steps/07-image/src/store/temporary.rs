//! Directories below `tmp` for work that is not finished yet. Each is locked while its
//! maker lives, so that the next process finds and removes what a `kill -9` left there.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::renameat;

use super::{Store, open_directory};
use crate::unpack;

/// A locked directory below `tmp`, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Temporary {
    path: PathBuf,
    parent: OwnedFd,
    /// The directory itself, locked.
    directory: OwnedFd,
}

impl Store {
    /// Makes a locked directory below `tmp`.
    pub(crate) fn temporary(&self) -> Result<Temporary> {
        let parent = self.path().join("tmp");
        loop {
            let mut path = parent.clone();
            let shown = format!("{}/dir-…", parent.display());
            kit::call("a directory that is not complete yet", "mkdir", shown, || {
                path =
                    tempfile::Builder::new().prefix("dir-").tempdir_in(&parent)?.keep();
                io::Result::Ok(())
            })?;
            let lock = File::open(&path).and_then(|lock| lock.lock().map(|()| lock));
            if !path.exists() {
                // Between mkdir and flock, `remove_stale` has found it unlocked.
                continue;
            }
            let directory = lock.context("flock(tmp)")?.into();
            return Ok(Temporary { path, parent: open_directory(&parent)?, directory });
        }
    }

    /// Removes everything from `tmp` but the directories whose maker lives.
    pub(crate) fn remove_stale(&self) -> Result<()> {
        let parent = self.path().join("tmp");
        let directory = open_directory(&parent)?;
        for entry in fs::read_dir(&parent).context("read tmp")? {
            let entry = entry.context("read tmp")?;
            // Another process may have removed it meanwhile.
            let Ok(found) = fs::symlink_metadata(entry.path()) else { continue };
            let lock = match found.is_dir() {
                true => match File::open(entry.path()) {
                    Ok(lock) if lock.try_lock().is_ok() => Some(lock),
                    _ => continue,
                },
                false => None,
            };
            unpack::remove(&directory, &entry.file_name())?;
            // A maker that waits for the lock finds the directory removed, and makes
            // another one.
            drop(lock);
        }
        Ok(())
    }
}

impl Temporary {
    /// Returns the path of the directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Renames the directory to its final place, where it appears complete.
    pub(crate) fn rename_to(self, place: &Path) -> Result<()> {
        kit::call("complete, it takes its place", "rename", place.display(), || {
            fs::rename(&self.path, place)
        })
    }

    /// Removes an entry of another directory of the store. It is moved here first: if
    /// we are killed meanwhile, its place has all of it or nothing.
    pub(crate) fn remove(&self, parent: &impl AsFd, name: &OsStr) -> Result<()> {
        match renameat(parent, name, &self.directory, name) {
            // We have moved it in an attempt before, or another process has.
            Err(rustix::io::Errno::NOENT) => {}
            renamed => {
                renamed.with_context(|| format!("rename({})", name.display()))?;
            }
        }
        unpack::remove(&self.directory, name)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After an error, which is reported already. `remove_stale` finds the rest.
        let name = self.path.file_name().unwrap_or(OsStr::new("."));
        let _ = unpack::remove(&self.parent, name);
    }
}
