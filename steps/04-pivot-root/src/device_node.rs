//! A device node with everything that config.json says of it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Failure, FailureKind};
use rustix::fs::{FileType, fstat, makedev};

/// A device node, or a FIFO, of the container:
/// <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#devices>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceNode {
    /// Its path from the root of the container.
    pub path: PathBuf,
    /// Its type, and the number of the device.
    pub kind: DeviceType,
    /// Its permissions, whatever the umask is.
    pub mode: u32,
    /// The user who owns it.
    pub uid: u32,
    /// The group that owns it.
    pub gid: u32,
}

/// The type of a node: mknod(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceType {
    /// A character device, with its major and its minor number.
    Character(u32, u32),
    /// A block device, with its major and its minor number.
    Block(u32, u32),
    /// A FIFO, which is no device and has no number.
    Fifo,
}

impl DeviceType {
    /// Returns the type and the number for mknod(2).
    pub(crate) fn for_mknod(self) -> (FileType, u64) {
        match self {
            DeviceType::Character(major, minor) => {
                (FileType::CharacterDevice, makedev(major, minor))
            }
            DeviceType::Block(major, minor) => {
                (FileType::BlockDevice, makedev(major, minor))
            }
            DeviceType::Fifo => (FileType::Fifo, 0),
        }
    }
}

/// Shows the type as in a device rule of a cgroup: `c 1:3`.
impl std::fmt::Display for DeviceType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DeviceType::Character(major, minor) => write!(f, "c {major}:{minor}"),
            DeviceType::Block(major, minor) => write!(f, "b {major}:{minor}"),
            DeviceType::Fifo => f.write_str("p"),
        }
    }
}

impl DeviceNode {
    /// Describes a character device of everybody.
    pub fn character(path: impl Into<PathBuf>, major: u32, minor: u32) -> Self {
        let kind = DeviceType::Character(major, minor);
        DeviceNode { path: path.into(), kind, mode: 0o666, uid: 0, gid: 0 }
    }

    /// Tells whether an open file is this device.
    ///
    /// # Errors
    /// The kernel's, from fstat(2).
    pub fn is_at(&self, file: BorrowedFd<'_>, path: &Path) -> Result<bool> {
        let found = fstat(file);
        let found = found.with_context(|| format!("fstat({})", path.display()))?;
        let (kind, number) = self.kind.for_mknod();
        let is_number = kind == FileType::Fifo || found.st_rdev == number;
        Ok(FileType::from_raw_mode(found.st_mode) == kind && is_number)
    }

    /// Checks that an open file is this device. An image or another container might
    /// have put another file there, or a link to it (CVE-2025-31133).
    pub(crate) fn verify(&self, file: &OwnedFd, path: &Path) -> Result<()> {
        if self.is_at(file.as_fd(), path)? {
            return Ok(());
        }
        let (path, kind) = (path.display(), self.kind);
        let failure = Failure::new(format_args!("{path} is not the device {kind}"));
        Err(failure
            .hint("another file is there: remove it, or mount a tmpfs on /dev")
            .with_kind(FailureKind::Refused)
            .into())
    }
}
