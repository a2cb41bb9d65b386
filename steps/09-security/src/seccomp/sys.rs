//! The system call seccomp(2), which neither nix nor rustix has.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::instruction::Instruction;

/// A filter is loaded; the descriptor of its listener, if it has one.
pub struct Loaded(pub Option<OwnedFd>);

/// [seccomp(2)](https://man7.org/linux/man-pages/man2/seccomp.2.html),
/// `SECCOMP_SET_MODE_FILTER`: loads a filter.
///
/// # Errors
/// The kernel's errors; EINVAL, too, for a program of more than 65,535 instructions.
pub fn set_mode_filter(flags: u32, program: &[Instruction]) -> io::Result<Loaded> {
    let program = libc::sock_fprog {
        len: program.len().try_into().map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `filter` points to `len` instructions, which have the layout of `struct
    // sock_filter` (`repr(C)`), and which the kernel only reads and copies.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    let new_listener = flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32 != 0;
    match result {
        -1 => Err(io::Error::last_os_error()),
        0 if !new_listener => Ok(Loaded(None)),
        // With TSYNC, the kernel returns the id of a thread that cannot follow.
        _ if !new_listener => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        // SAFETY: with this flag, the kernel returns a new descriptor, which nothing else
        // owns.
        fd => Ok(Loaded(Some(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))),
    }
}
