//! Writes into the container's own /proc.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use kit::{Failure, FailureKind};
use rustix::fs::{Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, fstatfs, openat2};

/// Refuses a directory that is not on a procfs: what is written there would have no
/// effect, and the container would run without it (CVE-2019-16884).
///
/// # Errors
/// When it is another file system.
pub(crate) fn require_procfs(proc: BorrowedFd<'_>) -> Result<()> {
    if fstatfs(proc).context("fstatfs(/proc)")?.f_type == PROC_SUPER_MAGIC {
        return Ok(());
    }
    let failure = Failure::new("/proc of the container is no procfs");
    let failure = failure.with_kind(FailureKind::Refused);
    Err(failure.hint("mount a procfs there, before anything is set through it").into())
}

/// Opens a file of `proc` to write into it. No mount on the way is crossed, and the
/// links that `links` forbids are not followed: what is written could go into another
/// file (CVE-2019-16884).
///
/// # Errors
/// The kernel's, from openat2(2).
pub(crate) fn open_to_write(
    proc: BorrowedFd<'_>,
    path: &str,
    links: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | links;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    openat2(proc, Path::new(path), flags, Mode::empty(), how)
}
