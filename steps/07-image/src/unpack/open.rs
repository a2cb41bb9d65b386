//! Opens directories of a layer, and follows no symbolic link.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::{Errno, Result};

const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::RDONLY)
    .union(OFlags::CLOEXEC);

/// Opens the directory of this name in another one.
pub(super) fn open_at(directory: impl AsFd, name: &OsStr) -> Result<OwnedFd> {
    openat(directory, name, DIRECTORY, Mode::empty())
}

/// Opens a directory below `top`; "" is `top` itself.
///
/// # Errors
/// ELOOP where a symbolic link is on the way.
pub(crate) fn open_beneath(top: &OwnedFd, path: &[u8]) -> Result<OwnedFd> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let path = if path.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(path) };
    loop {
        match openat2(top, path, DIRECTORY, Mode::empty(), how) {
            // openat2(2): something was renamed during the lookup; try again.
            Err(Errno::AGAIN) => {}
            done => return done,
        }
    }
}
