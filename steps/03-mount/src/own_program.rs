//! Executes this program from a read-only mount of itself: see [`pid::run_protected`].

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::Result;

use crate::attributes::{Attributes, Recursion};
use crate::detached::Detached;

/// Executes this program again, from a read-only mount of itself, or from a sealed copy
/// if the caller may make no mount.
///
/// The mount is attached nowhere, so nobody can mount it again without the flag, root in
/// a container included. It costs a hundredth of the time of a copy, and no memory.
///
/// # Errors
/// As [`pid::run_protected`].
pub fn run_read_only() -> Result<()> {
    pid::run_protected(protect)
}

/// Executes this program again as [`run_read_only`] does, whatever its subcommand is.
///
/// # Errors
/// As [`pid::run_protected`].
pub fn protect_program() -> Result<()> {
    pid::protect_program(protect)
}

fn protect(program: File) -> Result<OwnedFd> {
    read_only_mount(&program).or_else(|_| pid::sealed_copy(program))
}

fn read_only_mount(program: &File) -> Result<OwnedFd> {
    let mount =
        Detached::bind_descriptor(program.as_fd(), "this program", Recursion::Alone)?;
    mount.set_attributes(Attributes::MOUNT_ATTR_RDONLY, Recursion::Alone)?;
    Ok(mount.into())
}
