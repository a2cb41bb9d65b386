//! System calls that nix and rustix have no safe wrapper for.
#![allow(unsafe_code)]

use std::io;
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
