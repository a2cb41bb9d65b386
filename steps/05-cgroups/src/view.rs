//! Shows the container its own cgroup as the top of all cgroups: cgroup_namespaces(7).

use std::os::fd::{BorrowedFd, OwnedFd};

use anyhow::Result;
use kit::Failure;
use mount::{Attributes, Detached, NOSUID_NODEV_NOEXEC, Recursion, inside};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Mode, mkdirat};

use crate::cgroup::Cgroup;
use crate::controller::Version;
use crate::directory::Directory;

/// The directory in which programs look for cgroups.
const MOUNT_POINT: &str = "/sys/fs/cgroup";

// ANCHOR: view
/// Makes the cgroup of the calling process the top of the cgroups that the process can
/// see. The child calls this function once it is in its cgroup.
///
/// # Errors
/// When unshare(2) fails.
// Task 5.3: cgroup_namespaces(7): the cgroup of the caller becomes the root of the new
// namespace. With clone(2), that would be the cgroup of the parent process.
pub fn unshare_namespace() -> Result<()> {
    kit::call(
        "its cgroup becomes the top of its view",
        "unshare",
        "CLONE_NEWCGROUP",
        || unshare(CloneFlags::CLONE_NEWCGROUP),
    )
}

impl Cgroup {
    /// Mounts the cgroup read-only at /sys/fs/cgroup, so that the container can read
    /// its limits and not change them. The child calls this function. Until step 9
    /// takes CAP_SYS_ADMIN away, uid 0 in the container can still mount the cgroup
    /// writable.
    ///
    /// # Errors
    /// When a mount fails.
    pub fn show_in(&self, root: BorrowedFd<'_>) -> Result<()> {
        let target = inside::open_directory_without_links(root, MOUNT_POINT)?;
        match self.directories() {
            [only] if only.version() == Version::V2 => {
                bind_read_only(only)?.attach(&target, MOUNT_POINT)
            }
            directories => show_each(root, &target, directories),
        }
    }
}
// ANCHOR_END: view

/// Mounts a directory for each hierarchy in which the container has a cgroup, on hosts
/// with version 1.
fn show_each(
    root: BorrowedFd<'_>,
    target: &OwnedFd,
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
        let name = directory_name(directory)?;
        kit::call("the mount point of this hierarchy", "mkdirat", name, || {
            mkdirat(&tmpfs, name, Mode::from(0o755))
        })?;
    }
    tmpfs.set_attributes(Attributes::MOUNT_ATTR_RDONLY, Recursion::Alone)?;
    tmpfs.attach(target, MOUNT_POINT)?;
    for directory in directories {
        let path = format!("{MOUNT_POINT}/{}", directory_name(directory)?);
        bind_read_only(directory)?
            .attach(&inside::open_directory_without_links(root, &path)?, &path)?;
    }
    Ok(())
}

/// Makes a read-only mount of this cgroup and the cgroups below it.
fn bind_read_only(directory: &Directory) -> Result<Detached> {
    let mount = Detached::bind(directory.path(), Recursion::Alone)?;
    mount.set_attributes(
        NOSUID_NODEV_NOEXEC | Attributes::MOUNT_ATTR_RDONLY,
        Recursion::Alone,
    )?;
    Ok(mount)
}

/// Returns the name of the directory for a hierarchy: `memory`, `cpu,cpuacct`,
/// `unified`.
fn directory_name(directory: &Directory) -> Result<&str> {
    let mount_point = &directory.hierarchy.mount_point;
    let name = mount_point.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| {
        Failure::new(format_args!("{}: no name for a hierarchy", mount_point.display()))
            .into()
    })
}
