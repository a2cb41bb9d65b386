//! System calls that nix and rustix have no safe wrapper for.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{getpid, getppid};

/// Closes every descriptor above stderr: close_range(2). The responder would otherwise
/// hold descriptors of the runtime's caller for longer than that caller lives.
///
/// To be called before this process opens a descriptor of its own.
pub(crate) fn close_inherited() -> io::Result<()> {
    // SAFETY: called first in a process that has just been executed: nothing here owns
    // a descriptor above stderr yet, so none is closed under its owner.
    match unsafe { libc::close_range(3, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Has the kernel kill the process that `command` starts when the thread that starts it
/// ends: PR_SET_PDEATHSIG(2const).
pub(crate) fn die_with_parent(command: &mut Command) -> &mut Command {
    let parent = getpid();
    let prepare = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before prctl.
        if getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: between fork and exec only two system calls are made; neither allocates
    // nor takes a lock.
    unsafe { command.pre_exec(prepare) }
}

/// Asks for the cookie of the network namespace in which a socket was made: socket(7),
/// SO_NETNS_COOKIE, Linux 5.14.
pub(crate) fn namespace_cookie(socket: impl AsFd) -> io::Result<u64> {
    let mut cookie = 0u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: both pointers are to variables of this function, which outlive the call;
    // `length` is the size of `cookie`, and the kernel writes no more than that.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    match result {
        0 => Ok(cookie),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Asks for the option `name` of an IPv4 or IPv6 socket: getsockopt(2). `level` is
/// IPPROTO_IP or IPPROTO_IPV6. `buffer` contains the question, and then the answer.
pub(crate) fn ip_option(
    socket: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    buffer: &mut [u8],
) -> io::Result<()> {
    let mut length = buffer.len() as libc::socklen_t;
    // SAFETY: both pointers are to variables that outlive the call; `length` is the size
    // of `buffer`, and the kernel writes no more than that.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            buffer.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
