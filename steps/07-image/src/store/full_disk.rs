//! A full disk: its errors, and what to do.

use std::io;

use anyhow::Result;
use kit::Hint;
use nix::errno::Errno;

/// The hint for a full disk.
const DISK_FULL: &str = "the store's disk is full: `rmi` and `gc` make room, --store DIR chooses another place";

/// Tells whether nobody can write more to the disk, or this user cannot: EDQUOT.
pub(crate) fn is_disk_full(error: &anyhow::Error) -> bool {
    let is_full = |errno: Errno| matches!(errno, Errno::ENOSPC | Errno::EDQUOT);
    let is_cause = |cause: &(dyn std::error::Error + 'static)| {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        let error = cause.downcast_ref::<io::Error>();
        // An error of `tempfile` has this kind, and no errno.
        let errno = cause.downcast_ref::<rustix::io::Errno>();
        error.is_some_and(|it| matches!(it.kind(), StorageFull | QuotaExceeded))
            || errno.is_some_and(|it| is_full(Errno::from_raw(it.raw_os_error())))
    };
    kit::errno(error).is_some_and(is_full) || error.chain().any(is_cause)
}

/// Adds the hint to the error of a full disk.
pub(crate) fn hint_if_disk_is_full<T>(result: Result<T>) -> Result<T> {
    match &result {
        Err(error) if is_disk_full(error) => result.hint(DISK_FULL),
        _ => result,
    }
}
