//! System calls that neither nix nor rustix has, one safe function each.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use nix::libc;
use nix::sys::signal::{SigSet, Signal};

/// sigaction(2): tells whether this signal is ignored.
pub fn is_ignored(signal: Signal) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call only writes the present one, into memory of
    // its size. If it fails, zeroes are there, which are a valid action.
    let action = unsafe {
        libc::sigaction(signal as libc::c_int, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

/// sigpending(2): returns the signals that have come while they were blocked.
pub(crate) fn pending_signals() -> SigSet {
    let mut pending = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the call only writes a set, into memory of its size. It cannot fail with a
    // valid pointer; zeroes are an empty set.
    unsafe {
        libc::sigpending(pending.as_mut_ptr());
        SigSet::from_sigset_t_unchecked(pending.assume_init())
    }
}
