//! Devices of the host that a container may use.

use std::fs::{self, Metadata};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Failure, FailureKind, Hint};
use mount::inside::{self, TargetKind};
use mount::{Detached, Recursion};
use nix::errno::Errno;
use rustix::fs::{AtFlags, Gid, Mode, Uid, chownat, fstat, makedev, mknodat, unlinkat};
use rustix::process::umask;

/// A device of the host, and the path of its node in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDevice {
    /// The path of the node on the host.
    pub source: PathBuf,
    /// The path in the container.
    pub path: PathBuf,
    /// Whether it is a block or a character device.
    pub kind: rustix::fs::FileType,
    /// The driver's number, and the number of the device among those of its driver.
    pub numbers: (u32, u32),
    /// The permissions of the node.
    pub mode: u32,
    /// The owner of the node: its user id and its group id.
    pub owner: (u32, u32),
    /// The letters of its allowed uses: `r`, `w`, and `m` for mknod(2).
    pub access: String,
}

impl HostDevice {
    /// Finds a device of the host. Links are followed; a directory stands for all
    /// devices in it.
    ///
    /// # Errors
    /// When nothing is there, or it is no device.
    pub fn find(source: &Path, path: &Path, access: &str) -> Result<Vec<HostDevice>> {
        let found =
            kit::call("--device", "stat", source.display(), || fs::metadata(source))
                .hint_on(Errno::ENOENT, "`ls -l /dev` lists the devices of the host")?;
        if found.is_dir() {
            return find_in(source, path, access);
        }
        HostDevice::of(source, path, &found, access)
            .map(|device| vec![device])
            .ok_or_else(|| {
                let what = format!("--device {}: not a device", source.display());
                let failure = Failure::new(what).with_kind(FailureKind::Usage);
                failure.hint("use -v for files and directories").into()
            })
    }

    fn of(source: &Path, path: &Path, found: &Metadata, access: &str) -> Option<Self> {
        let kind = found.file_type();
        let kind = match () {
            () if kind.is_block_device() => rustix::fs::FileType::BlockDevice,
            () if kind.is_char_device() => rustix::fs::FileType::CharacterDevice,
            () => return None,
        };
        Some(HostDevice {
            source: source.into(),
            path: path.into(),
            kind,
            numbers: (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev())),
            mode: found.mode() & 0o7777,
            owner: (found.uid(), found.gid()),
            access: access.into(),
        })
    }

    // ANCHOR: make_device
    /// In the child: makes the node in a root file system. In a user namespace nobody
    /// may make one, so the host's is mounted in its place.
    ///
    /// # Errors
    /// When the path leads through a file, another device is at the source by now, and
    /// the kernel's.
    pub fn make(&self, root: BorrowedFd<'_>) -> Result<()> {
        match self.make_node(root) {
            Err(error) if kit::errno(&error) == Some(Errno::EPERM) => self.bind(root),
            made => made,
        }
    }
    // ANCHOR_END: make_device

    fn make_node(&self, root: BorrowedFd<'_>) -> Result<()> {
        let above = self.path.parent().unwrap_or(Path::new("/"));
        inside::make(root, above, TargetKind::Directory)?;
        let above = inside::open(root, above)?;
        let name = self.path.file_name().context("a device has a name")?;
        if self.is_made(above.as_fd(), name)? {
            return Ok(());
        }
        let (major, minor) = self.numbers;
        let letter = match self.kind {
            rustix::fs::FileType::BlockDevice => 'b',
            _ => 'c',
        };
        let operands =
            format_args!("{}, {letter} {major}:{minor}", self.path.display());
        let callers_umask = umask(Mode::empty());
        let made = kit::call("a device of the host", "mknodat", operands, || {
            let (mode, number) = (Mode::from(self.mode), makedev(major, minor));
            mknodat(&above, name, self.kind, mode, number)
        });
        umask(callers_umask);
        made?;
        self.give(above.as_fd(), name)
    }

    /// Gives the node the owner that it has on the host.
    fn give(&self, above: BorrowedFd<'_>, name: &std::ffi::OsStr) -> Result<()> {
        let (uid, gid) = (Uid::from_raw(self.owner.0), Gid::from_raw(self.owner.1));
        chownat(above, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .with_context(|| format!("fchownat({})", self.path.display()))
    }

    /// Returns whether the same device is there already, as /dev/null is in every
    /// container. A file or another device in its place is removed.
    fn is_made(&self, above: BorrowedFd<'_>, name: &std::ffi::OsStr) -> Result<bool> {
        let found = rustix::fs::statat(above, name, AtFlags::SYMLINK_NOFOLLOW);
        let Ok(found) = found else { return Ok(false) };
        if self.is(&found) {
            return Ok(true);
        }
        unlinkat(above, name, AtFlags::empty())
            .with_context(|| format!("unlinkat({})", self.path.display()))?;
        Ok(false)
    }

    fn is(&self, found: &rustix::fs::Stat) -> bool {
        rustix::fs::FileType::from_raw_mode(found.st_mode) == self.kind
            && found.st_rdev == makedev(self.numbers.0, self.numbers.1)
    }

    fn bind(&self, root: BorrowedFd<'_>) -> Result<()> {
        inside::make(root, &self.path, TargetKind::File)?;
        let source = OwnedFd::from(Detached::bind(&self.source, Recursion::Alone)?);
        let found = fstat(&source)
            .with_context(|| format!("fstat({})", self.source.display()))?;
        if !self.is(&found) {
            let what =
                format!("{}: another device is there now", self.source.display());
            return Err(Failure::new(what).with_kind(FailureKind::Conflict).into());
        }
        let target = inside::open(root, &self.path)?;
        Detached::made(source, self.source.display())
            .attach(&target, self.path.display())
    }
}

/// Finds all devices in a directory of the host, and in those below it.
fn find_in(source: &Path, path: &Path, access: &str) -> Result<Vec<HostDevice>> {
    let mut devices = Vec::new();
    let entries = fs::read_dir(source)
        .with_context(|| format!("read the directory {}", source.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("read {}", source.display()))?;
        let (source, path) = (entry.path(), path.join(entry.file_name()));
        // A link leads to a device that is found at its own place.
        let Ok(found) = entry.metadata() else { continue };
        match found.is_dir() {
            true if is_own(&path) => {}
            true => devices.extend(find_in(&source, &path, access)?),
            false if is_own(&path) => {}
            false => devices.extend(HostDevice::of(&source, &path, &found, access)),
        }
    }
    Ok(devices)
}

/// Whether a container has its own at this path.
fn is_own(path: &Path) -> bool {
    let own =
        ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/console", "/dev/ptmx"];
    own.iter().any(|own| path == Path::new(own))
}

/// Returns all devices of the host, for a privileged container.
///
/// # Errors
/// When a directory of /dev cannot be read.
pub fn all_devices() -> Result<Vec<HostDevice>> {
    find_in(Path::new("/dev"), Path::new("/dev"), "rwm")
}
