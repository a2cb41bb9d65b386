//! The system call that neither nix nor rustix has, in a safe function.
#![allow(unsafe_code)]

use std::io;

/// keyctl(2), KEYCTL_JOIN_SESSION_KEYRING: joins a new, empty session keyring. On a
/// kernel without keyrings (ENOSYS), there is none to leave.
pub fn join_new_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    let no_name = std::ptr::null::<libc::c_char>();
    // SAFETY: the arguments are a plain number and a null pointer, which the call takes
    // for a keyring without a name.
    match unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, no_name)
    } {
        -1 => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
            error => Err(error),
        },
        _ => Ok(()),
    }
}
