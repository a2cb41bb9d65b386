//! The lock on a run directory: flock(2). The kernel releases it when the process
//! that holds it ends, even by `kill -9`.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{Mode, OFlags, openat};

use crate::call::call;
use crate::failure::{Failure, Hint};
use crate::file::{ensure_private, if_exists, is_still_at};
use crate::interrupt;

/// The answer to an attempt to lock a run directory.
pub(crate) enum Locked {
    /// We hold the lock as long as the descriptor is open.
    ByUs,
    /// Another process holds it, or another descriptor of this process.
    ByOther,
    /// The directory has been removed since it was opened.
    Removed,
}

/// Waits for the lock. None: the directory has been removed meanwhile.
#[track_caller]
pub(crate) fn lock(path: &Path) -> Result<Option<File>> {
    let Some(file) = open_if_directory(path)? else { return Ok(None) };
    call("locked while we live: gc leaves it alone", "flock", path.display(), || {
        interrupt::lock(&file)
    })?;
    Ok(is_still_at(&file, path)?.then_some(file))
}

/// Takes the lock if nobody holds it. None: somebody holds it, or the directory does
/// not exist.
pub(crate) fn try_lock(path: &Path) -> Result<Option<File>> {
    let Some(file) = open_if_directory(path)? else { return Ok(None) };
    match locked(file.try_lock(), &file, path)? {
        Locked::ByUs => Ok(Some(file)),
        Locked::ByOther | Locked::Removed => Ok(None),
    }
}

/// Tries to take a shared lock. So several processes may try it at the same time, and
/// none of them takes another for the owner.
pub(crate) fn try_lock_shared(file: &File, path: &Path) -> Result<Locked> {
    locked(file.try_lock_shared(), file, path)
}

fn locked(
    attempt: Result<(), TryLockError>,
    file: &File,
    path: &Path,
) -> Result<Locked> {
    match attempt {
        Ok(()) if is_still_at(file, path)? => Ok(Locked::ByUs),
        Ok(()) => Ok(Locked::Removed),
        Err(TryLockError::WouldBlock) => Ok(Locked::ByOther),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("lock {}", path.display()))
        }
    }
}

/// Opens a path that may be a run directory. None: the path does not exist; or it is
/// a file, a pipe or a link, and so was never a run directory.
fn open_if_directory(path: &Path) -> Result<Option<File>> {
    match path.symlink_metadata() {
        Ok(found) if !found.is_dir() => Ok(None),
        _ => open_run_dir(path),
    }
}

/// Opens a run directory. None: it does not exist.
///
/// # Errors
/// When it cannot be opened, is no directory, or others can write to it.
pub(crate) fn open_run_dir(path: &Path) -> Result<Option<File>> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let opened =
        File::options().read(true).custom_flags(flags.bits() as i32).open(path);
    let Some(file) =
        if_exists(opened).with_context(|| format!("open {}", path.display()))?
    else {
        return Ok(None);
    };
    let found = file.metadata().with_context(|| format!("stat {}", path.display()))?;
    ensure_private(path, &found)
        .hint("nothing in it was believed: see what it is, and remove it")?;
    Ok(Some(file))
}

/// Reads the file `name` of a run directory. None: there is none.
///
/// # Errors
/// When it cannot be read, is no regular file, or is longer than `longest` bytes.
pub(crate) fn read_file(
    directory: &File,
    path: &Path,
    name: &str,
    longest: u64,
) -> Result<Option<String>> {
    let path = path.join(name);
    // With O_NONBLOCK, the open of a FIFO does not wait for a writer (fifo(7)).
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(directory, name, flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        file => File::from(file.with_context(|| format!("open {}", path.display()))?),
    };
    let mut text = String::new();
    let is_file = file.metadata().is_ok_and(|it| it.is_file());
    let read = file.take(longest + 1).read_to_string(&mut text);
    if !is_file || text.len() as u64 > longest {
        let what = format!(
            "{}: not a regular file, or longer than {longest} bytes",
            path.display()
        );
        return Err(Failure::new(what).hint("see what it is, and remove it").into());
    }
    read.with_context(|| format!("read {}", path.display()))?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_no_directory_was_never_a_run_directory() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("it");
        assert!(open_if_directory(&path).unwrap().is_none(), "nothing is there");
        std::fs::write(&path, "").unwrap();
        assert!(open_if_directory(&path).unwrap().is_none(), "a file");
        std::os::unix::fs::symlink(scratch.path(), scratch.path().join("link"))
            .unwrap();
        assert!(
            open_if_directory(&scratch.path().join("link")).unwrap().is_none(),
            "a link"
        );
    }
}
