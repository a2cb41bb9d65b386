//! A program that ends with the one that started it.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{getpid, getppid};

/// prctl(2), PR_SET_PDEATHSIG: what `command` starts is killed when the thread that
/// starts it ends.
pub(crate) fn die_with_parent(command: &mut Command) -> &mut Command {
    let parent = getpid();
    let prepare = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // It may have died before we asked.
        if getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: between fork and exec only two system calls are made; neither allocates
    // nor takes a lock.
    unsafe { command.pre_exec(prepare) }
}
