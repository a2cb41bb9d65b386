//! What neither nix nor rustix has, in a safe function.
#![allow(unsafe_code)]

use std::ffi::c_char;

/// environ(7): clears the environment that our caller gave us, where
/// proc_pid_environ(5) shows it.
pub fn forget_environment() {
    unsafe extern "C" {
        static environ: *const *mut c_char;
    }
    // SAFETY: `environ` points to C strings, the last of them null. They lie in memory
    // of our own that can be written, and nobody holds a reference to them: std copies
    // what it reads.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            std::ptr::write_bytes(*entry, 0, libc::strlen(*entry));
            entry = entry.add(1);
        }
    }
}
