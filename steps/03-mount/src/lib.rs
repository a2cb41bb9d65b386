//! Step 3: the mount namespace. See mount_namespaces(7).
//!
//! - [`Propagation`] keeps what is mounted inside from reaching the host.
//! - [`Detached`] is a mount that is nowhere yet: made, given its attributes, then
//!   attached.
//! - [`inside`] opens paths that cannot lead out of a root.
//! - [`all`] makes the mounts that `-v`, `--mount` and `--tmpfs` ask for.

mod args;
mod detached;
pub mod inside;
mod place;
mod propagation;
mod request;
mod sys;

use std::os::fd::{BorrowedFd, OwnedFd};

use anyhow::Result;
use nix::sched::CloneFlags;
use rustix::fs::{Mode, OFlags};

pub use args::Args;
pub use detached::{Attributes, Detached, NOSUID_NODEV_NOEXEC, Recursion, complaint};
pub use inside::Targets;
pub use propagation::Propagation;
pub use request::{Request, Source};

/// The namespace of this step: clone(2), CLONE_NEWNS (the first of its kind, hence the
/// name).
pub const NAMESPACE: CloneFlags = CloneFlags::CLONE_NEWNS;

#[track_caller]
// ANCHOR: proc
/// Mounts a fresh /proc, which shows the PID namespace of who mounts it.
///
/// # Errors
/// When /proc of this root is no ordinary directory, or the kernel refuses (an outer
/// container that has masked its own /proc).
// Task 3.2: proc(5): what it shows is decided when it is mounted, not when it is read.
pub fn proc(root: BorrowedFd<'_>) -> Result<()> {
    let proc = Detached::new(
        "proc",
        &[],
        NOSUID_NODEV_NOEXEC,
        "a /proc that shows this PID namespace",
    )?;
    proc.attach(&inside::own_directory(root, "/proc")?, "/proc")
}
// ANCHOR_END: proc

/// The host's own root, as this step still has it.
///
/// # Errors
/// What the kernel says of open(2).
#[track_caller]
pub fn host_root() -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    kit::call("the host's files, in a mount namespace of our own", "open", "/", || {
        rustix::fs::open("/", flags, Mode::empty())
    })
}

/// Makes the mounts that were asked for, in order, inside `root`.
///
/// # Errors
/// When a source or a target is missing or of the wrong kind, or the kernel refuses.
pub fn all(root: BorrowedFd<'_>, requests: &[Request], targets: Targets) -> Result<()> {
    requests.iter().try_for_each(|request| request.mount(root, targets))
}
