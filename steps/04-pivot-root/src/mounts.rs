//! The mounts of a configuration file, in its order.

use std::os::fd::BorrowedFd;

use anyhow::Result;
use mount::inside::TargetKind;
use mount::{Entry, EntrySource, MadeBy, NewFileSystem, ReadOnlyLater};

use crate::mount_defaults::{hosts_sysfs, is_of_other_network};

/// Makes the mounts inside `root`, in this order. `mount_cgroup` makes a mount of the
/// container's cgroup at the target of the entry.
///
/// In a user namespace that does not own the network namespace, /sys is a read-only
/// mount of the host's.
///
/// # Errors
/// As [`mount::mount_entries`].
pub fn mount_entries(
    root: BorrowedFd<'_>,
    entries: &[Entry],
    mut mount_cgroup: impl FnMut(&Entry) -> Result<()>,
) -> Result<ReadOnlyLater> {
    mount::mount_entries(root, entries, |entry| match &entry.source {
        EntrySource::Cgroup => mount_cgroup(entry).map(|()| MadeBy::Caller),
        EntrySource::New(sysfs) if sysfs.kind == "sysfs" => {
            mount_sysfs(root, entry, sysfs)
        }
        _ => Ok(MadeBy::Nobody),
    })
}

fn mount_sysfs(
    root: BorrowedFd<'_>,
    entry: &Entry,
    sysfs: &NewFileSystem,
) -> Result<MadeBy> {
    let mount = match sysfs.mount(&entry.options) {
        Err(error) if is_of_other_network(&error)? => hosts_sysfs()?,
        made => made?,
    };
    entry.attach(root, &mount, TargetKind::Directory)?;
    Ok(MadeBy::Caller)
}
