//! System calls that neither nix nor rustix has, in safe functions.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// ioctl_tty(2), TIOCGPTPEER: opens the container's end of a terminal, without a path
/// that has to be looked up.
pub fn peer(master: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the argument is a plain number; the result is a new descriptor, or an
    // error.
    match unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the kernel has just opened it for us.
        descriptor => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
    }
}

/// linux/nsfs.h: _IO(0xb7, 0x1)
const NS_GET_USERNS: libc::Ioctl = 0xb701;

/// ioctl_ns(2), NS_GET_USERNS: opens the user namespace that owns a namespace. EPERM
/// means that it is neither ours nor below ours.
pub fn owning_user_namespace(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: there is no argument; the result is a new descriptor, or an error.
    match unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the kernel has just opened it for us.
        descriptor => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
    }
}
