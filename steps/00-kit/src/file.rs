//! Functions on files that several modules use.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::read;
use rustix::process::geteuid;

use crate::failure::Failure;

/// Reads a file that the kernel writes while it is read: in /proc, /sys or a cgroup.
///
/// The kernel reports the length 0 for such a file. `fs::read_to_string` asks for the
/// length in vain, and then begins with a read of 32 bytes: that is three or four
/// more calls for each file.
///
/// # Errors
/// The kernel's reason of open(2) or read(2).
pub fn read_kernel_file(path: impl AsRef<Path>) -> io::Result<String> {
    String::from_utf8(read_kernel_bytes(path)?).map_err(io::Error::other)
}

/// Reads a file as [`read_kernel_file`] does. The names of files in it, as in
/// /proc/self/mountinfo, need not be UTF-8.
///
/// # Errors
/// As [`read_kernel_file`].
pub fn read_kernel_bytes(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    loop {
        bytes.reserve(4096);
        if read(&file, spare_capacity(&mut bytes))? == 0 {
            return Ok(bytes);
        }
    }
}

/// Reads a whole document, of at most `longest` bytes.
///
/// Somebody else may have written the file, so neither its type nor its length can be
/// relied on: a FIFO may never end, and a file of 2 GiB would fill the memory.
///
/// # Errors
/// The kernel's reason of open(2) or read(2); `InvalidData` when the file is not a
/// regular file, or is longer.
pub fn read_document(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    read_whole(open_regular(path)?, longest)
}

/// Reads a whole document as [`read_document`] does, at a path below an open directory.
/// No part of the path is a symbolic link or leads out: openat2(2).
///
/// # Errors
/// As [`read_document`]; ELOOP or EXDEV when the path leads elsewhere.
pub fn read_document_below(
    directory: BorrowedFd<'_>,
    path: &Path,
    longest: u64,
) -> io::Result<Vec<u8>> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = openat2(directory, path, REGULAR, Mode::empty(), how)?;
    read_whole(refuse_unless_regular(file.into())?, longest)
}

fn read_whole(file: File, longest: u64) -> io::Result<Vec<u8>> {
    // With room for one byte more, a single read reaches the end.
    let expected = file.metadata()?.len().min(longest) + 1;
    let mut bytes = Vec::with_capacity(expected as usize);
    let size = file.take(longest + 1).read_to_end(&mut bytes)?;
    if size as u64 > longest {
        let why = format!("it is longer than {longest} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(bytes)
}

/// Opens a regular file for reading, and follows no symbolic link.
///
/// # Errors
/// The kernel's reason of open(2); `InvalidData` when it is no regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    refuse_unless_regular(open(path, REGULAR, Mode::empty())?.into())
}

/// The flags that open a regular file to read it. With O_NONBLOCK, the open of a FIFO
/// does not wait for a writer (fifo(7)).
const REGULAR: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

fn refuse_unless_regular(file: File) -> io::Result<File> {
    if !file.metadata()?.is_file() {
        let why = "it is no regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(file)
}

/// Opens a directory only as a starting point for openat(2) and the like (O_PATH). The
/// descriptor itself cannot be read, nor used with fchmod(2).
///
/// # Errors
/// The kernel's reason of open(2); ENOTDIR when it is no directory.
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}

/// Turns ENOENT into None: another process may have removed the file in between.
///
/// # Errors
/// Every other error, unchanged: it does not mean that the file is missing.
pub fn if_exists<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Tells whether `path` still names the open file or directory. Callers ask this after
/// they have locked it: a lock on something that was removed meanwhile protects nothing.
///
/// # Errors
/// When the file or the path cannot be examined.
pub fn is_still_at(file: &File, path: &Path) -> Result<bool> {
    let stat = || format!("stat {}", path.display());
    let file_stat = file.metadata().with_context(stat)?;
    let path_stat = if_exists(path.symlink_metadata()).with_context(stat)?;
    Ok(path_stat
        .is_some_and(|it| (it.dev(), it.ino()) == (file_stat.dev(), file_stat.ino())))
}

/// Refuses a directory that another user can write to: that user could put anything
/// into it.
///
/// # Errors
/// When `path` is a link, belongs to another user, or others can write to it.
pub fn ensure_private(path: &Path, metadata: &Metadata) -> Result<()> {
    let (owner, we, mode) =
        (metadata.uid(), geteuid().as_raw(), metadata.mode() & 0o7777);
    let path = path.display();
    let wrong = if metadata.is_symlink() {
        // Every user may make a link in /tmp.
        format!("{path} is a symbolic link")
    } else if owner != we {
        format!("{path} belongs to uid {owner}, and we are uid {we}")
    } else if mode & 0o022 != 0 {
        format!("others can write to {path} (mode {mode:04o})")
    } else {
        return Ok(());
    };
    Err(Failure::new(wrong).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_becomes_none_and_another_error_stays_an_error() {
        assert_eq!(if_exists(Ok(1)).unwrap(), Some(1));
        assert_eq!(if_exists::<()>(Err(io::ErrorKind::NotFound.into())).unwrap(), None);
        let other = if_exists::<()>(Err(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(other.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_document_is_a_regular_file_of_limited_length() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name| scratch.path().join(name);
        std::fs::write(path("it"), "text").unwrap();
        assert_eq!(read_document(&path("it"), 4).unwrap(), b"text");
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("it", path("link")).unwrap();
        for name in ["fifo", "."] {
            let error = read_document(&path(name), 4).unwrap_err();
            assert!(error.to_string().contains("no regular file"), "{name}: {error}");
        }
        assert!(read_document(&path("link"), 4).is_err());
        let error = read_document(&path("it"), 3).unwrap_err();
        assert!(error.to_string().contains("longer than 3 bytes"), "{error}");
    }

    #[test]
    fn a_document_below_a_directory_is_found_by_no_link_and_by_no_way_out() {
        use std::os::fd::AsFd;
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        std::fs::create_dir_all(path("top/below")).unwrap();
        std::fs::write(path("top/below/it"), "text").unwrap();
        std::fs::write(path("outside"), "secret").unwrap();
        std::os::unix::fs::symlink("below", path("top/link")).unwrap();
        let top = File::open(path("top")).unwrap();
        let read = |path: &str| read_document_below(top.as_fd(), Path::new(path), 4);
        assert_eq!(read("below/it").unwrap(), b"text");
        let outside = path("outside");
        for path in
            ["link/it", "../outside", outside.to_str().unwrap(), "below", "none"]
        {
            assert!(read(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_file_that_was_removed_or_replaced_is_no_longer_at_its_path() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("it");
        std::fs::write(&path, "").unwrap();
        let file = File::open(&path).unwrap();
        assert!(is_still_at(&file, &path).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(!is_still_at(&file, &path).unwrap());
        std::fs::write(&path, "").unwrap();
        assert!(!is_still_at(&file, &path).unwrap());
    }
}
