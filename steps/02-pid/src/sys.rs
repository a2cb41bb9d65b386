//! An access to `environ`, which neither nix nor rustix has, in a safe function.
#![allow(unsafe_code)]

use std::ffi::c_char;

/// environ(7): overwrites the caller's environment with zeroes, where
/// proc_pid_environ(5) shows it.
pub fn clear_environment() {
    unsafe extern "C" {
        static environ: *const *mut c_char;
    }
    // SAFETY: `environ` points to pointers to C strings, the last of which is null. The
    // strings are in writable memory of this process, and no code holds a reference to
    // them: std copies what it reads.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            std::ptr::write_bytes(*entry, 0, libc::strlen(*entry));
            entry = entry.add(1);
        }
    }
}
