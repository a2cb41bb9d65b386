//! Removes files and whole directories, by descriptor.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, Dir, RenameFlags, renameat_with, unlinkat};
use rustix::io::Errno;

use super::open::open_at;

/// The most directories that are open at once.
const MOST_OPEN: usize = 200;

/// Removes the file or directory of this name, with everything below it. A name that is
/// missing is no error.
pub(crate) fn remove(parent: &OwnedFd, name: &OsStr) -> Result<()> {
    let directory = || format!("openat({})", name.display());
    match unlink(parent, name) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => {
            remove_all(open_at(parent, name).with_context(directory)?)?;
            unlink(parent, name)
        }
        unlinked => unlinked,
    }
    .with_context(|| format!("unlinkat({})", name.display()))
}

/// Removes everything in a directory. It does not recurse: an archive may be deeper than
/// our stack.
fn remove_all(top: OwnedFd) -> Result<()> {
    let mut parents: Vec<(OwnedFd, OsString)> = Vec::new();
    let mut here = top;
    loop {
        if let Some(name) = remove_files(&here)? {
            if parents.len() >= MOST_OPEN {
                flatten(&parents[0].0, &here, &name)?;
                continue;
            }
            let below = open_at(&here, &name)
                .with_context(|| format!("openat({})", name.display()))?;
            parents.push((std::mem::replace(&mut here, below), name));
        } else if let Some((parent, name)) = parents.pop() {
            unlink(&parent, &name)
                .with_context(|| format!("unlinkat({})", name.display()))?;
            here = parent;
        } else {
            return Ok(());
        }
    }
}

/// Removes the files and the empty directories in a directory, up to the first
/// directory that is not empty, and returns its name.
fn remove_files(here: &OwnedFd) -> Result<Option<OsString>> {
    for entry in Dir::read_from(here).context("getdents64(a directory)")? {
        let entry = entry.context("getdents64(a directory)")?;
        let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
        if name == "." || name == ".." {
            continue;
        }
        match unlink(here, &name) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(Some(name)),
            unlinked => {
                unlinked.with_context(|| format!("unlinkat({})", name.display()))?
            }
        }
    }
    Ok(None)
}

/// Removes a file or an empty directory; a name that is missing is no error.
fn unlink(directory: &OwnedFd, name: &OsStr) -> rustix::io::Result<()> {
    let unlinked = match unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => unlinkat(directory, name, AtFlags::REMOVEDIR),
        unlinked => unlinked,
    };
    if unlinked == Err(Errno::NOENT) { Ok(()) } else { unlinked }
}

/// Moves a directory to the top of the directory that is being removed. There it can be
/// removed with fewer open directories.
fn flatten(top: &OwnedFd, here: &OwnedFd, name: &OsStr) -> Result<()> {
    for number in 0u64.. {
        let flat = format!(".kiste-flat-{number}");
        match renameat_with(here, name, top, &flat, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            done => return done.context("renameat2(a deep directory)"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::fs::Mode;

    use super::*;

    #[test]
    fn a_tree_of_any_depth_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let top = OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
        let mut here = top.try_clone().unwrap();
        for _ in 0..1000 {
            rustix::fs::mkdirat(&here, "d", Mode::from(0o755)).unwrap();
            here = open_at(&here, "d".as_ref()).unwrap();
        }
        remove(&top, "d".as_ref()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
