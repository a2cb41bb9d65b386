//! mount_setattr(2), which neither nix nor rustix has.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::attributes::{AttributeChange, Recursion};

const NO_CHANGE: libc::mount_attr =
    libc::mount_attr { attr_set: 0, attr_clr: 0, propagation: 0, userns_fd: 0 };

/// mount_setattr(2): sets and clears attributes of the mount that a descriptor refers
/// to.
pub fn mount_setattr(
    mount: BorrowedFd<'_>,
    change: AttributeChange,
    recursion: Recursion,
) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: change.set.bits().into(),
        attr_clr: change.clear.bits().into(),
        ..NO_CHANGE
    };
    set(mount, attributes, recursion)
}

/// mount_setattr(2): sets the propagation of a mount: MS_PRIVATE, MS_SLAVE.
pub fn set_propagation(
    mount: BorrowedFd<'_>,
    propagation: libc::c_ulong,
    recursion: Recursion,
) -> io::Result<()> {
    let attributes = libc::mount_attr { propagation, ..NO_CHANGE };
    set(mount, attributes, recursion)
}

/// mount_setattr(2), MOUNT_ATTR_IDMAP: maps the owners of its files by a user
/// namespace.
pub fn idmap(
    mount: BorrowedFd<'_>,
    user_namespace: BorrowedFd<'_>,
    recursion: Recursion,
) -> io::Result<()> {
    let userns_fd = user_namespace.as_raw_fd() as u64;
    let attr_set = libc::MOUNT_ATTR_IDMAP;
    set(mount, libc::mount_attr { attr_set, userns_fd, ..NO_CHANGE }, recursion)
}

fn set(
    mount: BorrowedFd<'_>,
    attributes: libc::mount_attr,
    recursion: Recursion,
) -> io::Result<()> {
    let recursive =
        if recursion == Recursion::Recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string, and `attributes` is of the size that is
    // passed and outlives the call; the kernel only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
