//! System calls that neither nix nor rustix has, one safe function each.
#![allow(unsafe_code)]

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sched::CloneFlags;
use nix::unistd::Pid;

/// The process in which clone3 has returned.
pub enum Cloned {
    /// The caller, with the new process and its pidfd.
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

/// clone3(2), CLONE_INTO_CGROUP: libc's constant has a type that is too narrow.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The parent of a new process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// The calling process.
    Caller,
    /// The parent of the calling process: CLONE_PARENT.
    OfCaller,
}

/// clone3(2): copies this process into new namespaces, and into a cgroup if one is
/// given.
pub fn clone3(
    namespaces: CloneFlags,
    cgroup: Option<BorrowedFd<'_>>,
    parent: Parent,
) -> io::Result<Cloned> {
    let mut pidfd: libc::c_int = -1;
    // ANCHOR: into_cgroup
    let into_cgroup = if cgroup.is_some() { CLONE_INTO_CGROUP } else { 0 };
    // With CLONE_PARENT, the exit signal is that of the caller, and none may be given.
    let (of_caller, exit_signal) = match parent {
        Parent::Caller => (0, libc::SIGCHLD),
        Parent::OfCaller => (libc::CLONE_PARENT, 0),
    };
    let flags = namespaces.bits() | libc::CLONE_PIDFD | of_caller;
    let args = libc::clone_args {
        flags: flags as u64 | into_cgroup,
        cgroup: cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
        // ANCHOR_END: into_cgroup
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: exit_signal as u64,
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

/// pidfd_send_signal(2): sends a signal by its number; real-time signals have no names.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let (info, flags) = (std::ptr::null::<libc::siginfo_t>(), 0);
    // SAFETY: plain numbers, and a null pointer, which the call allows: the kernel
    // then fills in the same as for kill(2).
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

/// close_range(2): closes every descriptor above stderr but those in `keep`.
pub fn close_all_but(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut keep: Vec<_> = keep.iter().map(|fd| fd.as_raw_fd() as u32).collect();
    keep.sort_unstable();
    let mut first = 3;
    for kept in keep.into_iter().filter(|fd| *fd >= 3) {
        close_range(first, kept - 1)?;
        first = kept + 1;
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: this process is a copy that never returns to its parent's code, so no
    // code is left that owns one of these descriptors.
    if first <= last && unsafe { libc::close_range(first, last, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// rt_sigaction(2): resets every signal to its default action. Rust programs ignore
/// SIGPIPE, and an ignored signal stays ignored across an exec.
pub fn default_signals() {
    // The kernel's struct sigaction: SIG_DFL, no flags, nothing masked.
    let default = [0u64; 4];
    // Not through libc, which keeps two of the real-time signals for itself.
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL runs no code of ours. For SIGKILL and SIGSTOP the call fails,
        // and they need no change.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, &raw const default, 0, 8)
        };
    }
}

/// signal(2): resets SIGCHLD. While a process ignores it, the kernel reaps its children
/// itself, and their exit codes are lost (wait(2), "NOTES").
pub fn stop_ignoring_sigchld() {
    // SAFETY: SIG_DFL runs no code of ours.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// _exit(2): ends this process without running the exit handlers of its parent.
pub fn exit_now(code: i32) -> Infallible {
    // SAFETY: does not return, and touches no memory of ours.
    unsafe { libc::_exit(code) }
}
