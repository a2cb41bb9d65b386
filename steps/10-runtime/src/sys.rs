//! System calls that neither nix nor rustix has, one safe function each.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// ioctl_ns(2), NS_GET_NSTYPE: returns the kind of a namespace as its clone(2) flag.
pub fn namespace_kind(namespace: BorrowedFd<'_>) -> io::Result<i32> {
    /// linux/nsfs.h: _IO(0xb7, 0x3)
    const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
    // SAFETY: the call has no argument, and returns a plain number.
    match unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_NSTYPE) } {
        -1 => Err(io::Error::last_os_error()),
        kind => Ok(kind),
    }
}

/// fcntl(2), F_GETFD: borrows a descriptor that the caller of this program has passed,
/// by its number. None: it is not open.
pub fn passed_descriptor(number: RawFd) -> Option<BorrowedFd<'static>> {
    // SAFETY: the call only asks whether the number is open.
    let is_open = number >= 3 && unsafe { libc::fcntl(number, libc::F_GETFD) } != -1;
    // SAFETY: it was open when this program began, so no value of this program owns it
    // and closes it.
    is_open.then(|| unsafe { BorrowedFd::borrow_raw(number) })
}

/// close_range(2), CLOSE_RANGE_CLOEXEC: the descriptors from `first` on are closed by
/// an exec.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    let flags = libc::CLOSE_RANGE_CLOEXEC as i32;
    // SAFETY: no descriptor is closed now.
    match unsafe { libc::close_range(first, u32::MAX, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// pidfd_send_signal(2): sends a signal by its number; real-time signals have no names.
pub fn pidfd_send_signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    let (info, flags) = (std::ptr::null::<libc::siginfo_t>(), 0);
    let pidfd = pidfd.as_fd().as_raw_fd();
    // SAFETY: plain numbers, and a null pointer, which the call allows.
    match unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, info, flags)
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
