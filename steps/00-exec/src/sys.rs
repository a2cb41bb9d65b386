//! The system calls that neither nix nor rustix has, one safe function each.
#![allow(unsafe_code)]

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// Which side of a clone this is.
pub enum Cloned {
    /// The caller: the new process, and a descriptor that stands for it.
    Parent(Pid, OwnedFd),
    /// The new process.
    Child,
}

impl kit::Outcome for Cloned {
    fn show(&self) -> Option<String> {
        match self {
            Cloned::Parent(pid, _) => Some(pid.to_string()),
            Cloned::Child => None,
        }
    }
}

/// clone3(2), CLONE_INTO_CGROUP; the constant in libc is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// clone3(2): a copy of this process in new namespaces, optionally born in a cgroup.
pub fn clone3(
    namespaces: CloneFlags,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<Cloned> {
    let mut pidfd: libc::c_int = -1;
    // ANCHOR: into_cgroup
    let into_cgroup = if cgroup.is_some() { CLONE_INTO_CGROUP } else { 0 };
    let args = libc::clone_args {
        flags: namespaces.bits() as u64 | libc::CLONE_PIDFD as u64 | into_cgroup,
        cgroup: cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
        // ANCHOR_END: into_cgroup
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
    };
    // SAFETY: no CLONE_VM, so the child runs on a copy of our memory as after fork(2).
    // The process has one thread, so no lock is held by a thread that the child lacks.
    // `args` and `pidfd` outlive the call.
    match unsafe {
        libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>())
    } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Cloned::Child),
        // SAFETY: the kernel has just opened this descriptor for us (CLONE_PIDFD).
        pid => Ok(Cloned::Parent(Pid::from_raw(pid as i32), unsafe {
            OwnedFd::from_raw_fd(pidfd)
        })),
    }
}

/// pidfd_send_signal(2), by number: real-time signals have no names.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let (info, flags) = (std::ptr::null::<libc::siginfo_t>(), 0);
    // SAFETY: plain numbers, and a null pointer, which the call allows: it then fills
    // in kill(2)'s.
    match unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            info,
            flags,
        )
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// close_range(2): closes every descriptor above stderr but one; for a process that
/// does not exec and must not keep what it has inherited, such as its parent's locks.
pub fn close_all_but(keep: BorrowedFd<'_>) -> io::Result<()> {
    let keep = keep.as_raw_fd() as libc::c_uint;
    for (first, last) in [(3, keep - 1), (keep + 1, libc::c_uint::MAX)] {
        // SAFETY: this process is a copy that never runs its parent's code again, so
        // nobody is left who owns one of these descriptors.
        if first <= last && unsafe { libc::close_range(first, last, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// rt_sigaction(2): every signal does what it does by default. Rust programs ignore
/// SIGPIPE, and what is ignored stays ignored across an exec.
pub fn default_signals() {
    // the kernel's struct sigaction: SIG_DFL, no flags, nothing masked
    let default = [0u64; 4];
    // By number and past libc, which keeps two of the real-time signals for itself.
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL runs no code of ours. SIGKILL and SIGSTOP refuse, and need no
        // change.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, &raw const default, 0, 8)
        };
    }
}

/// signal(2), SIGCHLD: a caller may have us ignore it, and then the kernel reaps our
/// children itself and nobody learns how they ended (wait(2), "NOTES").
pub fn heed_children() {
    // SAFETY: SIG_DFL runs no code of ours.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// sigaction(2): whether we have been started with this signal ignored.
pub fn is_ignored(signal: Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call only writes the present one, to where there
    // is room; and zeroes, which are there if it fails, are a valid one.
    let action = unsafe {
        libc::sigaction(signal as libc::c_int, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

/// _exit(2): ends this process without running anything that the parent has registered.
pub fn exit_now(code: i32) -> Infallible {
    // SAFETY: does not return, and touches no memory of ours.
    unsafe { libc::_exit(code) }
}
