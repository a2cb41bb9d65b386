//! Shows the container its own cgroup as the top of all cgroups: cgroup_namespaces(7).

use std::os::fd::{BorrowedFd, OwnedFd};

use anyhow::Result;
use kit::Failure;
use mount::{Attributes, Detached, NOSUID_NODEV_NOEXEC, Recursion, inside};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Mode, mkdirat, symlinkat};

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
        let read_only = ViewAccess::ReadOnly;
        match self.directories() {
            [only] if only.version() == Version::V2 => {
                bind(only, read_only)?.attach(&target, MOUNT_POINT)
            }
            directories => {
                show_each(root, &target, MOUNT_POINT, directories, read_only)
            }
        }
    }
}
// ANCHOR_END: view

/// The access to the cgroups that a container sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewAccess {
    /// The limits can be read.
    ReadOnly,
    /// Cgroups can be made below the container's own, and limits changed.
    ReadWrite,
}

impl Cgroup {
    /// Mounts the cgroup at `target`, a path in the container, for a mount of type
    /// `cgroup`. The child calls this function.
    ///
    /// # Errors
    /// When `target` is no directory in `root`, or a mount fails.
    pub fn mount_at(
        &self,
        root: BorrowedFd<'_>,
        target: &str,
        access: ViewAccess,
    ) -> Result<()> {
        let directory = inside::open_directory_without_links(root, target)?;
        match self.directories() {
            [only] if only.version() == Version::V2 => {
                bind(only, access)?.attach(&directory, target)
            }
            directories => show_each(root, &directory, target, directories, access),
        }
    }
}

/// Mounts a directory for each hierarchy in which the container has a cgroup, on hosts
/// with version 1. Controllers that share a hierarchy each have a link to it, since
/// programs look for `cpu` also where it is `cpu,cpuacct`.
fn show_each(
    root: BorrowedFd<'_>,
    target: &OwnedFd,
    mount_point: &str,
    directories: &[Directory],
    access: ViewAccess,
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
        for controller in name.split(',').filter(|_| name.contains(',')) {
            let operands = format_args!("{name}, {controller}");
            kit::call("one controller of it", "symlinkat", operands, || {
                symlinkat(name, &tmpfs, controller)
            })?;
        }
    }
    tmpfs.set_attributes(Attributes::MOUNT_ATTR_RDONLY, Recursion::Alone)?;
    tmpfs.attach(target, mount_point)?;
    for directory in directories {
        let path = format!("{mount_point}/{}", directory_name(directory)?);
        bind(directory, access)?
            .attach(&inside::open_directory_without_links(root, &path)?, &path)?;
    }
    Ok(())
}

/// Makes a mount of this cgroup and the cgroups below it.
fn bind(directory: &Directory, access: ViewAccess) -> Result<Detached> {
    let mount = Detached::bind(directory.path(), Recursion::Alone)?;
    let read_only = match access {
        ViewAccess::ReadOnly => Attributes::MOUNT_ATTR_RDONLY,
        ViewAccess::ReadWrite => Attributes::empty(),
    };
    mount.set_attributes(NOSUID_NODEV_NOEXEC | read_only, Recursion::Alone)?;
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
