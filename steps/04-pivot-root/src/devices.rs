//! The device nodes and links of a container whose configuration mounts /dev, or leaves
//! the one of the root file system. [`crate::dev`] makes a /dev without a configuration.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Result;
use kit::{Failure, FailureKind, Hint};
use mount::inside::{self, TargetKind};
use mount::{Detached, Recursion};
use nix::errno::Errno;
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Uid, chmod, chownat, mknodat, openat, symlinkat,
    unlinkat,
};
use rustix::process::umask;

use crate::dev::{DEVICES, LINKS, in_user_namespace};
use crate::device_node::{DeviceNode, DeviceType};

/// Returns the devices of every container: [`DEVICES`].
pub fn default_devices() -> Vec<DeviceNode> {
    let node = |device: &crate::dev::Device<'_>| {
        let path = Path::new("/dev").join(device.name);
        DeviceNode::character(path, device.major, device.minor)
    };
    DEVICES.iter().map(node).collect()
}

/// Makes these nodes inside `root`, with the directories above them. In a user
/// namespace, where mknod(2) makes no devices, the host's nodes are bound.
///
/// # Errors
/// When another file is at the path of a node, the host has no such node to bind, and
/// the kernel's.
pub fn make_devices(root: BorrowedFd<'_>, nodes: &[DeviceNode]) -> Result<()> {
    let must_bind = in_user_namespace()?;
    // mknod(2) clears the umask's bits in the mode
    let callers_umask = umask(Mode::empty());
    let made = nodes.iter().try_for_each(|node| match node.kind {
        DeviceType::Character(..) | DeviceType::Block(..) if must_bind => {
            bind_from_host(root, node)
        }
        _ => make_device(root, node),
    });
    umask(callers_umask);
    made
}

fn make_device(root: BorrowedFd<'_>, node: &DeviceNode) -> Result<()> {
    let (directory, name) = open_parent(root, &node.path)?;
    let (kind, number) = node.kind.for_mknod();
    let mode = Mode::from(node.mode & 0o7777);
    let operands = format_args!("{}, {}", node.path.display(), node.kind);
    let made = kit::call("a device of the container", "mknodat", operands, || {
        mknodat(&directory, name, kind, mode, number)
    });
    match made.as_ref().map_err(kit::errno) {
        Err(Some(Errno::EPERM))
            if matches!(
                node.kind,
                DeviceType::Character(..) | DeviceType::Block(..)
            ) =>
        {
            return bind_from_host(root, node);
        }
        Err(Some(Errno::EEXIST)) => {}
        _ => made?,
    }
    let made = open_node(&directory, name, node)?;
    set_owner_and_mode(&made, node)
}

/// Opens the directory of a path inside `root`, and makes it first.
fn open_parent<'a>(
    root: BorrowedFd<'_>,
    path: &'a Path,
) -> Result<(OwnedFd, &'a OsStr)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        let path = path.display();
        let failure = Failure::new(format_args!("{path} is no path of a device"));
        return Err(failure.with_kind(FailureKind::Usage).into());
    };
    if parent.starts_with("/dev") {
        // An image whose /dev is a link must not choose where nodes are made
        // (CVE-2026-41579).
        inside::make(root, Path::new("/dev"), TargetKind::Directory)?;
        inside::open_directory_without_links(root, "/dev")?;
    }
    inside::make(root, parent, TargetKind::Directory)?;
    Ok((inside::open(root, parent)?, name))
}

/// Opens a node without following a link, and checks that it is the right one.
fn open_node(directory: &OwnedFd, name: &OsStr, node: &DeviceNode) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = &node.path;
    let opened = kit::call("is it this device?", "openat", path.display(), || {
        openat(directory, name, flags, Mode::empty())
    })?;
    node.verify(&opened, path)?;
    Ok(opened)
}

fn set_owner_and_mode(file: &OwnedFd, node: &DeviceNode) -> Result<()> {
    let DeviceNode { path, mode, uid, gid, .. } = node;
    let path = path.display();
    kit::call("its owner", "fchownat", format_args!("{path}, {uid}:{gid}"), || {
        let (uid, gid) = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)));
        chownat(file, "", uid, gid, AtFlags::EMPTY_PATH)
    })?;
    // A descriptor of O_PATH has no fchmod(2). proc_pid_fd(5): this leads to the file.
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    kit::call("its mode", "chmod", format_args!("{path}, {mode:o}"), || {
        chmod(link, Mode::from(*mode & 0o7777))
    })
}

/// Binds the host's node to the same path inside `root`.
fn bind_from_host(root: BorrowedFd<'_>, node: &DeviceNode) -> Result<()> {
    let host = Detached::bind(&node.path, Recursion::Alone).hint(
        "in a user namespace a device is bound from the host, where this path must be that device",
    )?;
    let opened = host.as_fd().try_clone_to_owned()?;
    node.verify(&opened, &node.path)?;
    let (directory, name) = open_parent(root, &node.path)?;
    inside::make(root, &node.path, TargetKind::File)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = node.path.display();
    let target = kit::call("the file to bind it on", "openat", path, || {
        openat(&directory, name, flags, Mode::empty())
    })?;
    host.attach(&target, node.path.display())
}

/// Makes the links in /dev that programs expect: /dev/fd, stdin, stdout, stderr and
/// ptmx, and /dev/core if the host has /proc/kcore. An existing file stays, but for
/// ptmx: that of the image would be the host's.
///
/// # Errors
/// When /dev is not an ordinary directory, and the kernel's, from symlink(2).
pub fn make_dev_links(root: BorrowedFd<'_>) -> Result<()> {
    let dev = inside::open_directory_without_links(root, "/dev")?;
    let core = Path::new("/proc/kcore").exists();
    let core = core.then_some(("core", "/proc/kcore"));
    for (name, to) in LINKS.into_iter().chain(core) {
        if name == "ptmx" {
            remove_old(&dev, name)?;
        }
        let operands = format_args!("{to}, {name}");
        kit::call("a name that programs expect", "symlinkat", operands, || {
            match symlinkat(to, &dev, name) {
                Err(rustix::io::Errno::EXIST) => Ok(()),
                done => done,
            }
        })?;
    }
    Ok(())
}

fn remove_old(dev: &OwnedFd, name: &str) -> Result<()> {
    kit::call("the image's would be the host's", "unlinkat", name, || {
        match unlinkat(dev, name, AtFlags::empty()) {
            Err(rustix::io::Errno::NOENT) => Ok(()),
            done => done,
        }
    })
}
