//! mount_setattr(2), which neither nix nor rustix has.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::detached::{Attributes, Reach};

/// mount_setattr(2): adds attributes to a mount that a descriptor stands for.
pub fn mount_setattr(mount: BorrowedFd<'_>, add: Attributes, reach: Reach) -> io::Result<()> {
    let attributes =
        libc::mount_attr { attr_set: add.bits().into(), attr_clr: 0, propagation: 0, userns_fd: 0 };
    let recursive = if reach == Reach::Recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string, and `attributes` is of the size that is passed and
    // outlives the call; the kernel only reads both.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
