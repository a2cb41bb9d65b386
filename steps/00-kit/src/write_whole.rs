//! Files that must survive a power cut: a reader finds the old text or the new one,
//! never a part of either.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, Mode, OFlags, fchmod, fsync, open, openat, renameat, unlinkat,
};

/// Replaces the file at `path` by one with this text and this mode, whatever the umask
/// is. It is on the disk when this returns.
///
/// Callers that may write the same file at the same time must hold a lock. A file in
/// /run does not survive a reboot, so it need not be written by this function.
///
/// # Errors
/// The kernel's reason; the old file is then unchanged. A kill in between leaves
/// [`unfinished_name`] beside it.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let directory =
        path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    write_below(directory_to_sync(directory)?.as_fd(), name, bytes, mode)
}

/// Does the same for the file `name` in an open directory. The descriptor may be an
/// O_PATH one.
///
/// # Errors
/// As [`write_whole`].
pub fn write_whole_at(
    dir: BorrowedFd<'_>,
    name: &str,
    bytes: &[u8],
    mode: u32,
) -> io::Result<()> {
    // fsync(2) refuses an O_PATH descriptor, so the directory is opened again.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = openat(dir, ".", flags, Mode::empty())?;
    write_below(dir.as_fd(), name.as_ref(), bytes, mode)
}

/// Returns the name of a file while it is being written: `.NAME.new`, in the same
/// directory, because rename(2) does not cross file systems.
pub fn unfinished_name(name: &OsStr) -> OsString {
    let mut unfinished = OsString::from(".");
    unfinished.push(name);
    unfinished.push(".new");
    unfinished
}

fn directory_to_sync(path: &Path) -> io::Result<std::os::fd::OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}

fn write_below(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    bytes: &[u8],
    mode: u32,
) -> io::Result<()> {
    let unfinished = unfinished_name(name);
    let written = write_new(dir, &unfinished, bytes, mode)
        .and_then(|()| Ok(renameat(dir, &unfinished, dir, name)?));
    if written.is_err() {
        let _ = unlinkat(dir, &unfinished, AtFlags::empty());
    }
    written?;
    // The rename is on the disk only once the directory is flushed, too: fsync(2).
    Ok(fsync(dir)?)
}

fn write_new(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    bytes: &[u8],
    mode: u32,
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
    // Before the rename: otherwise a power cut may leave the new name with no text.
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn a_file_has_the_new_text_and_the_mode_whatever_the_umask() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("it");
        for (text, mode) in
            [("first", 0o666), ("second, and longer", 0o600), ("", 0o444)]
        {
            write_whole(&path, text.as_bytes(), mode).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode);
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
        assert!(write_whole(&path, b"new", 0o600).is_err());
        assert!(path.is_dir());
        assert_eq!(
            fs::read_dir(scratch.path()).unwrap().count(),
            1,
            "nothing beside it"
        );
        assert!(write_whole(&scratch.path().join("none/it"), b"new", 0o600).is_err());
    }

    #[test]
    fn an_unfinished_file_of_an_earlier_writer_is_replaced_and_a_link_not_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let (path, victim) = (scratch.path().join("it"), scratch.path().join("victim"));
        fs::write(&victim, "old").unwrap();
        symlink(&victim, scratch.path().join(unfinished_name("it".as_ref()))).unwrap();
        write_whole(&path, b"new", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "old");
    }

    #[test]
    fn write_whole_at_accepts_a_directory_that_was_opened_with_o_path() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = crate::open_directory(scratch.path()).unwrap();
        write_whole_at(dir.as_fd(), "it", b"text", 0o640).unwrap();
        assert_eq!(fs::read_to_string(scratch.path().join("it")).unwrap(), "text");
        assert_eq!(
            fs::metadata(scratch.path().join("it")).unwrap().mode() & 0o7777,
            0o640
        );
    }
}
