//! What the container sees of cgroups: its own, as if it were the top. See
//! cgroup_namespaces(7).

use std::os::fd::{BorrowedFd, OwnedFd};

use anyhow::Result;
use kit::Failure;
use mount::{Attributes, Detached, NOSUID_NODEV_NOEXEC, Recursion, inside};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Mode, mkdirat};

use crate::cgroup::Cgroup;
use crate::controller::Version;
use crate::directory::Directory;

/// Where programs look for cgroups.
const PLACE: &str = "/sys/fs/cgroup";

// ANCHOR: view
/// In the child, once it is in its cgroup: makes that the top of what it can see.
///
/// # Errors
/// What the kernel says of unshare(2).
// Task 5.3: cgroup_namespaces(7): the cgroup we are in now becomes the root of the new
// namespace. At clone time that would have been the parent's.
pub fn unshare_namespace() -> Result<()> {
    kit::call(
        "its cgroup is the top of what it sees",
        "unshare",
        "CLONE_NEWCGROUP",
        || unshare(CloneFlags::CLONE_NEWCGROUP),
    )
}

impl Cgroup {
    /// In the child: shows its own cgroup at /sys/fs/cgroup, read-only, so that it can
    /// read its limits and not change them. Root in it may undo that until step 9 takes
    /// CAP_SYS_ADMIN away.
    ///
    /// # Errors
    /// What the kernel says of the mounts.
    pub fn show_in(&self, root: BorrowedFd<'_>) -> Result<()> {
        let place = inside::own_directory(root, PLACE)?;
        match self.directories() {
            [only] if only.hierarchy().version() == Version::V2 => {
                view(only)?.attach(&place, PLACE)
            }
            directories => show_each(root, &place, directories),
        }
    }
}
// ANCHOR_END: view

/// Hosts with version 1: a directory for each hierarchy in which the container has its
/// own cgroup.
fn show_each(
    root: BorrowedFd<'_>,
    place: &OwnedFd,
    directories: &[Directory],
) -> Result<()> {
    let options = [("mode", "755"), ("size", "64k")];
    let tmpfs = Detached::new(
        "tmpfs",
        &options,
        NOSUID_NODEV_NOEXEC,
        "room for a directory for each hierarchy",
    )?;
    for directory in directories {
        let name = name(directory)?;
        kit::call("the mount point of this hierarchy", "mkdirat", name, || {
            mkdirat(&tmpfs, name, Mode::from(0o755))
        })?;
    }
    tmpfs.set(Attributes::MOUNT_ATTR_RDONLY, Recursion::Alone)?;
    tmpfs.attach(place, PLACE)?;
    for directory in directories {
        let path = format!("{PLACE}/{}", name(directory)?);
        view(directory)?.attach(&inside::own_directory(root, &path)?, &path)?;
    }
    Ok(())
}

/// A read-only view of this one cgroup and those below it.
fn view(directory: &Directory) -> Result<Detached> {
    let view = Detached::bind(directory.path(), Recursion::Alone)?;
    view.set(NOSUID_NODEV_NOEXEC | Attributes::MOUNT_ATTR_RDONLY, Recursion::Alone)?;
    Ok(view)
}

/// What the hierarchy is called here: `memory`, `cpu,cpuacct`, `unified`.
fn name(directory: &Directory) -> Result<&str> {
    let mount_point = directory.hierarchy().mount_point();
    let name = mount_point.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| {
        Failure::new(format_args!("{}: no name for a hierarchy", mount_point.display()))
            .into()
    })
}
