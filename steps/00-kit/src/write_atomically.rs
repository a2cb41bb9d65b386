//! Files that are replaced as a whole: a reader finds the old text or the new one, never
//! a part of either.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, Mode, OFlags, fchmod, fsync, open, openat, renameat, unlinkat,
};

/// The failure that a file must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A kill of the writer: rename(2) is enough. After a power cut the file may be
    /// empty.
    Kill,
    /// A power cut: the file and its directory are on the disk when the write returns
    /// (fsync(2)).
    PowerCut,
}

/// Replaces the file at `path` by one with this text and this mode, whatever the umask
/// is.
///
/// Callers that may write the same file at the same time must hold a lock. A file in
/// /run does not survive a reboot, so it need not be written by this function.
///
/// # Errors
/// The kernel's reason; the old file is then unchanged. A kill in between leaves
/// [`temporary_name`] beside it.
pub fn write_atomically(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    durability: Durability,
) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let directory =
        path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    write_atomically_below(
        open_to_flush(directory)?.as_fd(),
        name,
        bytes,
        mode,
        durability,
    )
}

/// Replaces a file as [`write_atomically`] does, in an open directory.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_atomically_below(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    bytes: &[u8],
    mode: u32,
    durability: Durability,
) -> io::Result<()> {
    let temporary = temporary_name(name);
    let written = write_new(dir, &temporary, bytes, mode, durability)
        .and_then(|()| Ok(renameat(dir, &temporary, dir, name)?));
    if written.is_err() {
        let _ = unlinkat(dir, &temporary, AtFlags::empty());
    }
    written?;
    match durability {
        Durability::Kill => Ok(()),
        // The rename is on the disk only once the directory is flushed, too: fsync(2).
        Durability::PowerCut => Ok(fsync(dir)?),
    }
}

/// Returns the name of a file while it is being written: `.NAME.new`, in the same
/// directory, because rename(2) does not cross file systems.
pub fn temporary_name(name: &OsStr) -> OsString {
    let mut unfinished = OsString::from(".");
    unfinished.push(name);
    unfinished.push(".new");
    unfinished
}

fn open_to_flush(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}

fn write_new(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    bytes: &[u8],
    mode: u32,
    durability: Durability,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let create = || openat(dir, name, flags, Mode::RUSR | Mode::WUSR);
    let file = match create() {
        // An earlier writer was killed and has left it. O_EXCL never follows a link.
        Err(rustix::io::Errno::EXIST) => {
            unlinkat(dir, name, AtFlags::empty())?;
            create()?
        }
        created => created?,
    };
    // The mode of open(2) is subject to the umask, that of fchmod(2) is not.
    fchmod(&file, Mode::from_raw_mode(mode))?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    match durability {
        Durability::Kill => Ok(()),
        // Before the rename: otherwise a power cut may leave the new name with no text.
        Durability::PowerCut => file.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::Durability::{Kill, PowerCut};
    use super::*;

    #[test]
    fn a_file_has_the_new_text_and_the_mode_whatever_the_umask() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("it");
        for (text, mode) in
            [("first", 0o666), ("second, and longer", 0o600), ("", 0o444)]
        {
            for durability in [Kill, PowerCut] {
                write_atomically(&path, text.as_bytes(), mode, durability).unwrap();
                assert_eq!(fs::read_to_string(&path).unwrap(), text);
                assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode);
            }
        }
        assert_eq!(
            fs::read_dir(scratch.path()).unwrap().count(),
            1,
            "nothing beside it"
        );
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_text_and_nothing_beside_it() {
        let scratch = tempfile::tempdir().unwrap();
        // A directory cannot be replaced by a file: rename(2), EISDIR.
        let path = scratch.path().join("it");
        fs::create_dir(&path).unwrap();
        assert!(write_atomically(&path, b"new", 0o600, PowerCut).is_err());
        assert!(path.is_dir());
        assert_eq!(
            fs::read_dir(scratch.path()).unwrap().count(),
            1,
            "nothing beside it"
        );
        let missing = scratch.path().join("none/it");
        assert!(write_atomically(&missing, b"new", 0o600, PowerCut).is_err());
    }

    #[test]
    fn an_unfinished_file_of_an_earlier_writer_is_replaced_and_a_link_not_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let (path, victim) = (scratch.path().join("it"), scratch.path().join("victim"));
        fs::write(&victim, "old").unwrap();
        symlink(&victim, scratch.path().join(temporary_name("it".as_ref()))).unwrap();
        write_atomically(&path, b"new", 0o600, Kill).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "old");
    }
}
