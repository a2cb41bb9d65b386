//! close_range(2), which neither nix nor rustix has.
#![allow(unsafe_code)]

use std::io;

/// Closes every descriptor above stderr: what a caller of the runtime has left open is
/// not the responder's, which would hold it for longer than the caller lives.
///
/// To be called before this process opens any of its own.
pub(crate) fn close_inherited() -> io::Result<()> {
    // SAFETY: called first thing in a process that has just been executed: nothing here
    // owns a descriptor above stderr yet, so none is closed under its owner.
    match unsafe { libc::close_range(3, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
