//! The system calls that have no safe wrapper.
#![allow(unsafe_code)]

use std::ffi::c_long;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// The result of wait4(2): a process that has ended.
pub struct Ended {
    /// Its exit code. None if a signal ended it.
    pub code: Option<i32>,
    /// The largest resident set, in KiB, of the process or of a child that it waited
    /// for.
    pub peak_kib: u64,
}

/// Waits for a child of ours. See
/// [wait4(2)](https://man7.org/linux/man-pages/man2/wait4.2.html).
///
/// # Errors
/// When the kernel refuses.
pub fn wait4(pid: u32) -> io::Result<Ended> {
    let mut status = 0;
    // SAFETY: rusage is plain numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to locals that outlive the call.
        if unsafe { libc::wait4(pid as i32, &raw mut status, 0, &raw mut usage) } >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
    Ok(Ended { code, peak_kib: usage.ru_maxrss as u64 })
}

/// Lets the command start in another mount namespace, or in ours. In both cases the
/// command is forked in the same way, so that all contestants have the same cost.
pub fn start_in(command: &mut Command, mounts: Option<&File>) {
    let namespace: Option<RawFd> = mounts.map(AsRawFd::as_raw_fd);
    // SAFETY: between fork and exec there is one system call, and nothing is allocated.
    unsafe {
        command.pre_exec(move || match namespace {
            Some(fd) if libc::setns(fd, libc::CLONE_NEWNS) < 0 => {
                Err(io::Error::last_os_error())
            }
            _ => Ok(()),
        })
    };
}

/// Clones a process with these flags. The new process runs `work`, and exits with the
/// result. Returns the PID. See
/// [clone3(2)](https://man7.org/linux/man-pages/man2/clone3.2.html).
///
/// # Errors
/// When the kernel refuses.
pub fn clone3(flags: i32, work: impl FnOnce() -> i32) -> io::Result<u32> {
    // SAFETY: clone_args is plain numbers, for which zero is a value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM it is a fork(2), and this process has one thread when it
    // is called.
    let pid: c_long =
        unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of_val(&args)) };
    match pid {
        // SAFETY: _exit(2) takes any number.
        0 => unsafe { libc::_exit(work()) },
        1.. => Ok(pid as u32),
        _ => Err(io::Error::last_os_error()),
    }
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn interrupt(_: i32) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Catches SIGINT, SIGTERM and SIGHUP, so that they no longer end this process. See
/// [`is_interrupted`].
///
/// # Errors
/// When sigaction(2) fails.
pub fn catch_interrupts() -> nix::Result<()> {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    let action = SigAction::new(
        SigHandler::Handler(interrupt),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler stores to an atomic, which is async-signal-safe.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// Returns whether one of the caught signals has come.
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Measures the peak memory, in KiB, of a copy of our process that does nothing. Every
/// program that the benchmark starts has at least that peak.
///
/// # Errors
/// When the kernel refuses.
pub fn min_peak_kib() -> io::Result<u64> {
    Ok(wait4(clone3(0, || 0)?)?.peak_kib)
}
