//! The check that a directory is a real /proc.

use std::os::fd::BorrowedFd;

use anyhow::{Context, Result};
use kit::{Failure, FailureKind};
use rustix::fs::{PROC_SUPER_MAGIC, fstatfs};

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
