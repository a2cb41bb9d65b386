//! Directories below `tmp` that are not complete yet, or not completely removed. The
//! process that works on a directory locks it. A `kill -9` leaves a directory without a
//! lock, which the next process removes.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::{if_exists, interrupt};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use super::{Store, open_directory};
use crate::unpack;

/// A locked directory below `tmp`. Dropping this removes the directory.
#[derive(Debug)]
pub(crate) struct Temporary {
    path: PathBuf,
    parent: OwnedFd,
    _lock: File,
}

impl Store {
    /// Makes a locked directory below `tmp`.
    pub(crate) fn temporary(&self) -> Result<Temporary> {
        let parent = self.path().join("tmp");
        loop {
            let path = parent.join(format!("dir-{}", kit::Id::random()?));
            let why = "a directory that is not complete yet";
            kit::call(why, "mkdir", path.display(), || {
                fs::DirBuilder::new().mode(0o700).create(&path)
            })?;
            if let Some(lock) = lock_new(&path)? {
                let parent = open_directory(&parent)?;
                return Ok(Temporary { path, parent, _lock: lock });
            }
        }
    }

    /// Asks ext4 to put every directory that is made below `tmp` into another part of
    /// the disk: chattr(1), "T". Otherwise the files of a layer get their inodes where a
    /// removed layer had them. Without a journal, ext4 takes no inode that was freed in
    /// the last minute, and for each new file goes through all of these: an image that
    /// was just removed took seven times as long to load.
    pub(crate) fn spread_layers(&self) -> Result<()> {
        let tmp = open_directory(&self.path().join("tmp"))?;
        // Other file systems have no such attribute, and do not need it.
        if let Ok(flags) = ioctl_getflags(&tmp)
            && !flags.contains(IFlags::TOPDIR)
        {
            let _ = ioctl_setflags(&tmp, flags | IFlags::TOPDIR);
        }
        Ok(())
    }

    /// Removes a file or directory of the store. A directory is moved below `tmp`
    /// first: if we are killed meanwhile, its old place has the whole directory or
    /// nothing.
    ///
    /// After an error it can be called again, for example as root of a user namespace. It
    /// works on a full disk.
    pub(crate) fn discard(&self, path: &Path) -> Result<()> {
        let name = path.file_name().unwrap_or_default();
        let tmp = self.path().join("tmp");
        if fs::symlink_metadata(path).is_ok_and(|found| !found.is_dir()) {
            let parent = path.parent().unwrap_or(path);
            return unpack::remove(&open_directory(parent)?, name);
        }
        let lock = match if_exists(File::open(path)) {
            // An earlier call has moved it below `tmp`.
            Ok(None) => if_exists(File::open(tmp.join(name))),
            found => found,
        };
        let Some(lock) = lock.with_context(|| format!("open({})", path.display()))?
        else {
            return Ok(());
        };
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(()), // another process removes it
            locked => locked.with_context(|| format!("flock({})", path.display()))?,
        }
        if_exists(fs::rename(path, tmp.join(name)))
            .with_context(|| format!("rename({})", path.display()))?;
        unpack::remove(&open_directory(&tmp)?, name)
    }

    /// Removes everything from `tmp` but the directories that a living process works on.
    pub(crate) fn remove_stale(&self) -> Result<()> {
        let parent = self.path().join("tmp");
        let directory = open_directory(&parent)?;
        for entry in fs::read_dir(&parent).context("read tmp")? {
            interrupt::check()?;
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
            // Another process may wait for the lock, in `temporary`. It finds the
            // directory removed, and makes another one.
            drop(lock);
        }
        Ok(())
    }
}

/// Locks a new directory; None if `remove_stale` has removed it meanwhile.
///
/// # Errors
/// When a signal ends the wait, among others. The directory is removed.
fn lock_new(path: &Path) -> Result<Option<File>> {
    let locked = if_exists(File::open(path)).and_then(|file| {
        file.as_ref().map_or(Ok(()), interrupt::lock)?;
        Ok(file)
    });
    let locked = locked.inspect_err(|_| drop(fs::remove_dir(path)));
    Ok(locked.context("flock(tmp)")?.filter(|_| path.exists()))
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
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // The directory is still there only after an error, which is reported already.
        // `remove_stale` removes what this cannot.
        let name = self.path.file_name().unwrap_or(OsStr::new("."));
        let _ = unpack::remove(&self.parent, name);
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};

    use super::*;

    #[test]
    fn a_signal_ends_the_wait_for_a_new_directory_and_removes_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dir-new");
        fs::create_dir(&path).unwrap();
        // As another process does that takes it for one of a killed process.
        let held = File::open(&path).unwrap();
        held.lock().unwrap();
        let (sender, outcome) = std::sync::mpsc::channel();
        let new = path.clone();
        std::thread::spawn(move || {
            interrupt::block().unwrap();
            raise(Signal::SIGTERM).unwrap();
            sender.send(lock_new(&new)).unwrap();
        });
        let outcome = outcome.recv_timeout(std::time::Duration::from_secs(20));
        let error = outcome.expect("it waits no longer").unwrap_err();
        assert!(format!("{error:#}").contains("interrupted by SIGTERM"), "{error:#}");
        assert!(!path.exists());
    }
}
