//! The file systems that every container has: /proc, /sys and /dev.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use kit::Size;
use mount::inside::{self, TargetKind};
use mount::{Attributes, Detached, NOSUID_NODEV_NOEXEC, Recursion, Request};
use nix::errno::Errno;

use crate::{dev, sys};

/// The mount points of the default file systems.
pub const MOUNT_POINTS: [&str; 3] = ["/proc", "/sys", "/dev"];

// ANCHOR: mount_defaults
/// Mounts /proc, /sys (read-only) and /dev in `root`. /dev/shm gets this size.
///
/// # Errors
/// When /proc, /sys or /dev of this root is not an ordinary directory, or the kernel
/// refuses a mount.
// Task 4.2: each on a directory of the root file system itself. If that were a symbolic
// link, the image would choose what is covered.
pub fn mount_defaults(root: BorrowedFd<'_>, shm_size: Size) -> Result<()> {
    mount::proc(root)?;
    sysfs()?.attach(&inside::open_directory_without_links(root, "/sys")?, "/sys")?;
    dev::mount(root, shm_size)
}
// ANCHOR_END: mount_defaults

/// Makes a read-only /sys, detached. The kernel allows a new sysfs only in the user
/// namespace that owns the network namespace. In another user namespace (step 6), this
/// function makes a recursive bind mount of the host's /sys.
///
/// # Errors
/// When the kernel refuses the mount.
pub fn sysfs() -> Result<Detached> {
    let attributes = NOSUID_NODEV_NOEXEC | Attributes::MOUNT_ATTR_RDONLY;
    match Detached::new("sysfs", &[], attributes, "the kernel's devices") {
        Err(error) if is_of_other_network(&error)? => hosts_sysfs(),
        made => made,
    }
}

/// Whether a new sysfs was refused because the network namespace is not ours.
pub(crate) fn is_of_other_network(error: &anyhow::Error) -> Result<bool> {
    Ok(kit::errno(error) == Some(Errno::EPERM) && !owns_network()?)
}

/// Makes a read-only mount of the host's /sys, detached.
pub(crate) fn hosts_sysfs() -> Result<Detached> {
    let attributes = NOSUID_NODEV_NOEXEC | Attributes::MOUNT_ATTR_RDONLY;
    let host = Detached::bind(Path::new("/sys"), Recursion::Recursive)?;
    host.set_attributes(attributes, Recursion::Recursive)?;
    Ok(host)
}

/// Whether our network namespace belongs to our user namespace: user_namespaces(7).
fn owns_network() -> Result<bool> {
    let open = |path: &str| File::open(path).with_context(|| format!("open({path})"));
    let inode = |file: &File| file.metadata().map(|found| (found.dev(), found.ino()));
    let (network, ours) = (open("/proc/self/ns/net")?, open("/proc/self/ns/user")?);
    match sys::owning_user_namespace(network.as_fd()).map(File::from) {
        // It belongs to a user namespace above ours.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
        owner => owner
            .and_then(|owner| Ok(inode(&owner)? == inode(&ours)?))
            .context("ioctl(NS_GET_USERNS)"),
    }
}

/// Makes the mount points of the defaults and of `requests`, while the root is still
/// writable.
pub(crate) fn make_mount_points(
    root: BorrowedFd<'_>,
    requests: &[Request],
) -> Result<()> {
    MOUNT_POINTS.iter().try_for_each(|path| {
        inside::make(root, Path::new(path), TargetKind::Directory)
    })?;
    let is_outside_defaults = |request: &&Request| {
        !MOUNT_POINTS.iter().any(|path| request.target.starts_with(path))
    };
    requests
        .iter()
        .filter(is_outside_defaults)
        .try_for_each(|request| request.make_target(root))
}
