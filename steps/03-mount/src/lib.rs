//! Step 3: the mount namespace. See mount_namespaces(7).
//!
//! - [`Propagation`] keeps the container's mounts from the host.
//! - [`Detached`] is a mount that is not attached yet: it is made, its attributes are
//!   set, and only then it is attached.
//! - [`inside`] opens paths that cannot lead out of a root.
//! - [`mount_all`] makes the mounts that `-v`, `--mount` and `--tmpfs` ask for.

mod args;
mod attributes;
mod change;
mod copy_up;
mod csv;
mod detached;
mod entry;
mod entry_target;
mod fs_context;
pub mod inside;
mod make;
mod mapped_entry;
mod mount_options;
mod mount_point;
mod mount_propagation;
mod mountinfo;
mod new_file_system;
mod option_words;
mod own_program;
mod parse;
mod place;
mod propagation;
mod remount;
mod request;
mod reserved;
mod resolve;
mod source;
mod sources;
mod sys;
#[cfg(test)]
mod test_root;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Result;
use nix::sched::CloneFlags;

pub use args::Args;
pub use attributes::{AttributeChange, Attributes, NOSUID_NODEV_NOEXEC, Recursion};
pub use detached::Detached;
pub use entry::{Entry, EntrySource, MadeBy, ReadOnlyLater, mount_entries};
pub use entry_target::Cover;
pub use fs_context::FsContext;
pub use inside::MissingTarget;
pub use mount_options::MountOptions;
pub use mount_propagation::MountPropagation;
pub use mountinfo::unescape;
pub use new_file_system::NewFileSystem;
pub use own_program::{protect_program, run_read_only};
pub use propagation::Propagation;
pub use request::{Request, Source};
pub use source::{BindPropagation, BindSource};
pub use sources::{
    Sourced, bind_propagating, bind_sources, copy_sources, find_sources,
};

/// The namespace of this step: clone(2), CLONE_NEWNS. Mount namespaces were the first
/// kind, so the name of their flag does not mention mounts.
pub const NAMESPACE: CloneFlags = CloneFlags::CLONE_NEWNS;

#[track_caller]
// ANCHOR: proc
/// Mounts a new /proc, which shows the PID namespace of the process that mounts it.
///
/// # Errors
/// When /proc of this root is not an ordinary directory, or the kernel refuses the
/// mount (in an outer container that has masked parts of its own /proc).
// Task 3.2: proc(5): the PID namespace is chosen when it is mounted, not when it is
// read.
pub fn proc(root: BorrowedFd<'_>) -> Result<()> {
    let proc = Detached::new(
        "proc",
        &[],
        NOSUID_NODEV_NOEXEC,
        "a /proc that shows this PID namespace",
    )?;
    proc.attach(&inside::open_directory_without_links(root, "/proc")?, "/proc")
}
// ANCHOR_END: proc

/// Opens the host's root, which is the root of this step's containers.
///
/// # Errors
/// The kernel's, from open(2).
#[track_caller]
pub fn host_root() -> Result<OwnedFd> {
    kit::call("the host's files, in a mount namespace of our own", "open", "/", || {
        kit::open_directory(Path::new("/"))
    })
}

/// Makes the requested mounts inside `root`, in order.
///
/// # Errors
/// When a source or a target is missing or of the wrong kind, or the kernel refuses.
pub fn mount_all(
    root: BorrowedFd<'_>,
    requests: &[Request],
    missing: MissingTarget,
) -> Result<()> {
    requests.iter().try_for_each(|request| request.mount(root, missing))
}
