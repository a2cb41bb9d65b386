//! Files that processes lock: flock(2).

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};

/// Opens a file that no other user can open, and so lock, relative to a directory.
/// Creates it where it is missing.
pub(crate) fn open_or_create(dir: BorrowedFd<'_>, path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    // A FIFO, which another program may have put there, must not keep us waiting.
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    Ok(openat(dir, path, flags, Mode::RUSR | Mode::WUSR)?.into())
}
