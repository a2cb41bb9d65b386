//! Removes files and whole directories, by descriptor. The work grows with the number of
//! files alone, however deep they are.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use anyhow::{Context, Result};
use kit::interrupt;
use rustix::fs::{AtFlags, Dir, RenameFlags, renameat_with, unlinkat};
use rustix::io::Errno;

use super::open::open_at;

/// The most directories that are open at once.
const MOST_OPEN: usize = 200;

/// How many entries are removed before it looks for a signal.
const ENTRIES_BETWEEN_CHECKS: u64 = 256;

/// Removes the file or directory of this name, with everything below it. A name that is
/// missing is no error. After an error, another call removes the rest.
pub(crate) fn remove(parent: &OwnedFd, name: &OsStr) -> Result<()> {
    match unlink(parent, name) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => {
            Removal::open(parent, name)?.remove_all()?;
            unlink(parent, name)
        }
        unlinked => unlinked,
    }
    .with_context(|| format!("unlinkat({})", name.display()))
}

/// A directory that is being removed. It does not recurse: an archive may be deeper than
/// our stack.
struct Removal {
    top: OpenDirectory,
    /// The directories on the way from the top to the one that is being emptied.
    below: Vec<OpenDirectory>,
    /// How many directories have been moved to the top.
    moved: u64,
    /// How many entries have been looked at.
    seen: u64,
}

/// A directory whose entries are read one after the other.
struct OpenDirectory {
    name: OsString,
    entries: Dir,
}

impl OpenDirectory {
    fn open(parent: impl AsFd, name: &OsStr) -> Result<Self> {
        let opened = open_at(parent, name).and_then(Dir::new);
        let entries = opened.with_context(|| format!("openat({})", name.display()))?;
        Ok(OpenDirectory { name: name.into(), entries })
    }

    /// Removes the next entry.
    fn remove_next(&mut self) -> Result<Removed> {
        let Some(entry) = self.entries.read() else { return Ok(Removed::All) };
        let entry = entry.context("getdents64(a directory)")?;
        let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
        if name == "." || name == ".." {
            return Ok(Removed::One);
        }
        match unlink(self.entries.fd()?, &name) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Removed::NotEmpty(name)),
            unlinked => unlinked
                .map(|()| Removed::One)
                .with_context(|| format!("unlinkat({})", name.display())),
        }
    }
}

/// The part of a directory that has been removed.
enum Removed {
    /// An entry.
    One,
    /// Nothing: the next entry is a directory of this name, which is not empty.
    NotEmpty(OsString),
    /// All entries.
    All,
}

impl Removal {
    fn open(parent: &OwnedFd, name: &OsStr) -> Result<Self> {
        let top = OpenDirectory::open(parent, name)?;
        Ok(Removal { top, below: Vec::new(), moved: 0, seen: 0 })
    }

    /// Removes everything in the directory.
    ///
    /// # Errors
    /// When a signal has come, or an entry cannot be removed. The rest stays.
    fn remove_all(&mut self) -> Result<()> {
        let mut moved_before = 0;
        loop {
            self.seen += 1;
            if self.seen.is_multiple_of(ENTRIES_BETWEEN_CHECKS) {
                interrupt::checkpoint()?;
            }
            let may_open = self.below.len() < MOST_OPEN;
            let here = self.below.last_mut().unwrap_or(&mut self.top);
            match here.remove_next()? {
                Removed::One => {}
                Removed::NotEmpty(name) if may_open => {
                    let below = OpenDirectory::open(here.entries.fd()?, &name)?;
                    self.below.push(below);
                }
                Removed::NotEmpty(name) => self.move_to_top(&name)?,
                Removed::All => {
                    if let Some(OpenDirectory { name, .. }) = self.below.pop() {
                        let parent = self.below.last().unwrap_or(&self.top);
                        unlink(parent.entries.fd()?, &name)
                            .with_context(|| format!("unlinkat({})", name.display()))?;
                    } else if self.moved > moved_before {
                        // The top has got more entries since it was read.
                        moved_before = self.moved;
                        self.top.entries.rewind();
                    } else {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Moves a directory of the deepest open one to the top. There it can be removed with
    /// fewer open directories. No directory is moved twice.
    fn move_to_top(&mut self, name: &OsStr) -> Result<()> {
        let here = self.below.last().unwrap_or(&self.top).entries.fd()?;
        let top = self.top.entries.fd()?;
        loop {
            let moved = format!(".kiste-moved-{}", self.moved);
            self.moved += 1;
            // A killed process may have left directories of these names.
            match renameat_with(here, name, top, &moved, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                done => return done.context("renameat2(a deep directory)"),
            }
        }
    }
}

/// Removes a file or an empty directory; a name that is missing is no error.
fn unlink(directory: impl AsFd, name: &OsStr) -> rustix::io::Result<()> {
    let directory = directory.as_fd();
    let unlinked = match unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => unlinkat(directory, name, AtFlags::REMOVEDIR),
        unlinked => unlinked,
    };
    if unlinked == Err(Errno::NOENT) { Ok(()) } else { unlinked }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};
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

    /// Each directory is moved by one call, although all get names beside each other.
    #[test]
    fn the_work_grows_with_the_number_of_directories_alone() {
        let dir = tempfile::tempdir().unwrap();
        let top = OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
        let make = |above: &OwnedFd, name: &str| {
            rustix::fs::mkdirat(above, name, Mode::from(0o755)).unwrap();
            open_at(above, name.as_ref()).unwrap()
        };
        let mut here = make(&top, "d");
        for _ in 0..MOST_OPEN {
            here = make(&here, "d");
        }
        for number in 0..500 {
            make(&make(&here, &format!("d{number}")), "d");
        }
        let mut removal = Removal::open(&top, "d".as_ref()).unwrap();
        removal.remove_all().unwrap();
        assert_eq!(removal.moved, 500);
        unlink(&top, "d".as_ref()).unwrap();
    }

    #[test]
    fn a_signal_ends_the_removal_of_many_files_and_another_call_removes_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let top = OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
        let many = dir.path().join("many");
        std::fs::create_dir(&many).unwrap();
        (0..600).for_each(|n| drop(std::fs::File::create(many.join(n.to_string()))));
        let interrupted = std::thread::spawn(move || {
            interrupt::block().unwrap();
            raise(Signal::SIGTERM).unwrap();
            let error = remove(&top, "many".as_ref()).unwrap_err();
            let all = interrupt::patiently(|| remove(&top, "many".as_ref()));
            (error.to_string(), all)
        });
        let (error, all) = interrupted.join().unwrap();
        assert!(error.contains("interrupted by SIGTERM"), "{error}");
        all.unwrap();
        assert!(!many.exists());
    }
}
