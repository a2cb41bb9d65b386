//! The system call that has no safe wrapper.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::sched::CloneFlags;

/// For clone3(2), since Linux 5.7. The libc crate's constant is too narrow.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Clones a process into these namespaces, and into this cgroup of version 2. Returns 0
/// in the new process.
pub fn clone3(flags: CloneFlags, cgroup: Option<File>) -> io::Result<i32> {
    // SAFETY: clone_args is plain numbers, for which zero is a value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags.bits() as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = &cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM it is a fork(2), and there is one thread.
    match unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of_val(&args)) }
    {
        pid @ 0.. => Ok(pid as i32),
        _ => Err(io::Error::last_os_error()),
    }
}
