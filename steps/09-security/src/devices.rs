//! Devices of the host that a container may use.

use std::fs::{self, Metadata};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cgroups::{DeviceAccess, DeviceKind, DeviceRule, DeviceVerdict};
use kit::{Failure, FailureKind, Hint};
use mount::inside::{self, TargetKind};
use mount::{Detached, Recursion};
use nix::errno::Errno;
use pivot_root::{DeviceNode, DeviceType};
use rustix::fs::{major, minor};

/// A device of the host, and its node in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDevice {
    /// The path of the node on the host.
    pub source: PathBuf,
    /// The node in the container.
    pub node: DeviceNode,
    /// The allowed uses.
    pub access: DeviceAccess,
}

impl HostDevice {
    /// Finds a device of the host. Links are followed; a directory stands for all
    /// devices in it.
    ///
    /// # Errors
    /// When nothing is there, or it is no device.
    pub fn find(
        source: &Path,
        path: &Path,
        access: DeviceAccess,
    ) -> Result<Vec<HostDevice>> {
        let found =
            kit::call("--device", "stat", source.display(), || fs::metadata(source))
                .hint_on(Errno::ENOENT, "`ls -l /dev` lists the devices of the host")?;
        if found.is_dir() {
            return find_in(source, path, access);
        }
        match HostDevice::of(source, path, &found, access) {
            Some(device) => Ok(vec![device]),
            None => {
                let what = format!("--device {}: not a device", source.display());
                let failure = Failure::new(what).with_kind(FailureKind::Usage);
                Err(failure.hint("use -v for files and directories").into())
            }
        }
    }

    fn of(
        source: &Path,
        path: &Path,
        found: &Metadata,
        access: DeviceAccess,
    ) -> Option<Self> {
        let (major, minor) = (major(found.rdev()), minor(found.rdev()));
        let kind = match found.file_type() {
            kind if kind.is_block_device() => DeviceType::Block(major, minor),
            kind if kind.is_char_device() => DeviceType::Character(major, minor),
            _ => return None,
        };
        let (mode, uid, gid) = (found.mode() & 0o7777, found.uid(), found.gid());
        let node = DeviceNode { path: path.into(), kind, mode, uid, gid };
        Some(HostDevice { source: source.into(), node, access })
    }

    /// Returns the rule that allows its uses.
    pub fn rule(&self) -> Option<DeviceRule> {
        let (kind, major, minor) = match self.node.kind {
            DeviceType::Block(major, minor) => (DeviceKind::Block, major, minor),
            DeviceType::Character(major, minor) => (DeviceKind::Char, major, minor),
            DeviceType::Fifo => return None,
        };
        Some(DeviceRule {
            verdict: DeviceVerdict::Allow,
            kind: Some(kind),
            major: Some(major),
            minor: Some(minor),
            access: self.access,
        })
    }

    // ANCHOR: make_device
    /// In the child: makes the node in a root file system. In a user namespace, where
    /// no process may make one, the host's node is mounted in its place.
    ///
    /// # Errors
    /// When the path leads through a file, another device is at the source by now, and
    /// the kernel's.
    pub fn make(&self, root: BorrowedFd<'_>) -> Result<()> {
        match pivot_root::dev::in_user_namespace()? {
            true => self.bind(root),
            false => pivot_root::make_devices(root, std::slice::from_ref(&self.node)),
        }
    }
    // ANCHOR_END: make_device

    fn bind(&self, root: BorrowedFd<'_>) -> Result<()> {
        let path = &self.node.path;
        inside::make(root, path, TargetKind::File)?;
        let source = Detached::bind(&self.source, Recursion::Alone)?;
        self.verify(source.as_fd())?;
        let target = inside::open(root, path)?;
        source.attach(&target, path.display())
    }

    /// Checks that the device at the source is still the one that was found.
    fn verify(&self, source: BorrowedFd<'_>) -> Result<()> {
        if self.node.is_at(source, &self.source)? {
            return Ok(());
        }
        let name = self.source.display();
        let failure = Failure::new(format_args!("{name}: another device is there now"));
        Err(failure.with_kind(FailureKind::Conflict).into())
    }
}

/// Finds all devices in a directory of the host, and in those below it.
fn find_in(
    source: &Path,
    path: &Path,
    access: DeviceAccess,
) -> Result<Vec<HostDevice>> {
    let mut devices = Vec::new();
    let entries = fs::read_dir(source)
        .with_context(|| format!("read the directory {}", source.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("read {}", source.display()))?;
        let (source, path) = (entry.path(), path.join(entry.file_name()));
        // A link leads to a device that is found at its own place, and a device may
        // have been unplugged meanwhile.
        let Ok(found) = entry.metadata() else { continue };
        match found.is_dir() {
            _ if is_own(&path) => {}
            true => devices.extend(find_in(&source, &path, access)?),
            false => devices.extend(HostDevice::of(&source, &path, &found, access)),
        }
    }
    Ok(devices)
}

/// Whether a container has its own at this path.
fn is_own(path: &Path) -> bool {
    let own = ["pts", "shm", "mqueue", "fd", "console", "ptmx"];
    let name = path.strip_prefix("/dev").unwrap_or(path);
    own.iter().any(|own| name == Path::new(own))
}

/// Returns all devices of the host, for a privileged container.
///
/// # Errors
/// When a directory of /dev cannot be read.
pub fn all_devices() -> Result<Vec<HostDevice>> {
    find_in(Path::new("/dev"), Path::new("/dev"), DeviceAccess::ALL)
}
