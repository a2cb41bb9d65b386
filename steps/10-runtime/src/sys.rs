//! System calls that neither nix nor rustix has, one safe function each.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

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

/// The attributes of sched_setattr(2): `struct sched_attr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct SchedulingAttributes {
    /// The size of this structure, which [`sched_setattr`] sets.
    pub size: u32,
    /// SCHED_*.
    pub policy: u32,
    /// SCHED_FLAG_*.
    pub flags: u64,
    /// The nice value.
    pub nice: i32,
    /// The priority of a real-time policy.
    pub priority: u32,
    /// SCHED_DEADLINE: nanoseconds in each period.
    pub runtime: u64,
    /// SCHED_DEADLINE: nanoseconds from the beginning of the period.
    pub deadline: u64,
    /// SCHED_DEADLINE: the length of a period, in nanoseconds.
    pub period: u64,
}

/// sched_setattr(2): sets how this process is scheduled.
pub fn sched_setattr(attributes: &SchedulingAttributes) -> io::Result<()> {
    let size = size_of::<SchedulingAttributes>() as u32;
    let attributes = SchedulingAttributes { size, ..*attributes };
    // SAFETY: the structure has the size that is in it, and outlives the call, which
    // only reads it. 0 stands for this process.
    match unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) }
    {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// ioprio_set(2): sets the priority of this process for input and output.
pub fn ioprio_set(priority: u32) -> io::Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    // SAFETY: plain numbers. 0 stands for this process.
    match unsafe {
        libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, priority)
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// personality(2): sets the execution domain.
pub fn personality(persona: u32) -> io::Result<()> {
    // SAFETY: a plain number.
    match unsafe { libc::personality(persona.into()) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// set_mempolicy(2): sets the nodes from which this process gets its memory.
pub fn set_mempolicy(mode: i32, nodes: &[usize]) -> io::Result<()> {
    const WORDS: usize = 16;
    let mut mask = [0 as libc::c_ulong; WORDS];
    let bits = libc::c_ulong::BITS as usize;
    for node in nodes.iter().filter(|node| **node < WORDS * bits) {
        mask[node / bits] |= 1 << (node % bits);
    }
    let pointer = if nodes.is_empty() { std::ptr::null() } else { mask.as_ptr() };
    // The kernel takes one bit less than this number.
    let count = if nodes.is_empty() { 0 } else { WORDS * bits + 1 };
    // SAFETY: the mask has as many bits as the kernel reads, and outlives the call.
    match unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, count) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
