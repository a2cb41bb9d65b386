//! Files of the kernel that a container must not read, and others that it must not
//! write. They belong to the whole host, and root inside has the rights of root on them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Failure, FailureKind};
use mount::{Attributes, Detached, NOSUID_NODEV_NOEXEC, Recursion};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

/// The paths that Docker masks in every container.
///
/// <https://github.com/moby/moby/blob/master/daemon/pkg/oci/defaults.go>
const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// The paths that Docker makes read-only in every container.
const READONLY_PATHS: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Returns the paths that are masked by default: Docker's. Those of the CPUs' thermal
/// throttling tell a process what other containers do.
pub fn default_masked_paths() -> Vec<PathBuf> {
    let cpus = std::fs::read_dir("/sys/devices/system/cpu").into_iter().flatten();
    let throttling = cpus.flatten().map(|cpu| cpu.path().join("thermal_throttle"));
    let fixed = MASKED_PATHS.iter().map(PathBuf::from);
    fixed.chain(throttling.filter(|path| path.is_dir())).collect()
}

/// Returns the paths that are read-only by default: Docker's.
pub fn default_readonly_paths() -> Vec<PathBuf> {
    READONLY_PATHS.iter().map(PathBuf::from).collect()
}

// ANCHOR: mask
/// In the child: hides these paths of a root file system. A file becomes /dev/null, and
/// a directory is empty. A path that does not exist is skipped.
///
/// # Errors
/// When /dev/null of this root is not the device, or the kernel refuses a mount.
pub fn mask(root: BorrowedFd<'_>, paths: &[PathBuf]) -> Result<()> {
    let mut covers = Covers::default();
    for path in paths {
        // By descriptor: the path may lead elsewhere a moment later.
        let Some(target) = open_existing(root, path)? else { continue };
        let cover = match is_directory(&target, path)? {
            true => covers.empty_directory()?,
            false => covers.null(root)?,
        };
        cover.attach(&target, path.display())?;
    }
    Ok(())
}
// ANCHOR_END: mask

// ANCHOR: make_read_only
/// In the child: makes these paths of a root file system read-only, with everything
/// that is mounted below them. A path that does not exist is skipped.
///
/// # Errors
/// The kernel's, from open_tree(2), mount_setattr(2) and move_mount(2).
pub fn make_read_only(root: BorrowedFd<'_>, paths: &[PathBuf]) -> Result<()> {
    for path in paths {
        let Some(target) = open_existing(root, path)? else { continue };
        let name = path.display();
        let mount =
            Detached::bind_descriptor(target.as_fd(), &name, Recursion::Recursive)?;
        mount.set_attributes(Attributes::MOUNT_ATTR_RDONLY, Recursion::Recursive)?;
        mount.attach(&target, name)?;
    }
    Ok(())
}
// ANCHOR_END: make_read_only

/// The mounts that cover masked paths. Each is made once, and then cloned.
#[derive(Default)]
struct Covers {
    null: Option<OwnedFd>,
    directory: Option<OwnedFd>,
}

impl Covers {
    /// Returns a mount of /dev/null of this root.
    fn null(&mut self, root: BorrowedFd<'_>) -> Result<Detached> {
        let null = match self.null.take() {
            Some(null) => null,
            None => open_null(root)?,
        };
        let mount =
            Detached::bind_descriptor(null.as_fd(), "/dev/null", Recursion::Alone);
        self.null = Some(null);
        mount
    }

    /// Returns a mount of an empty directory, which stays empty.
    fn empty_directory(&mut self) -> Result<Detached> {
        if let Some(first) = &self.directory {
            return Detached::bind_descriptor(first.as_fd(), "tmpfs", Recursion::Alone);
        }
        let attributes = NOSUID_NODEV_NOEXEC | Attributes::MOUNT_ATTR_RDONLY;
        let options = [("mode", "755"), ("nr_blocks", "1"), ("nr_inodes", "1")];
        let why = "an empty directory to mask with";
        let tmpfs = Detached::new("tmpfs", &options, attributes, why)?;
        let first = tmpfs.as_fd().try_clone_to_owned();
        self.directory = Some(first.context("fcntl(a tmpfs, F_DUPFD_CLOEXEC)")?);
        Ok(tmpfs)
    }
}

/// Opens /dev/null of the root and checks that it is the device. If the image or a
/// racing process could put something else there, the mask would be a mount of it
/// (CVE-2025-31133).
fn open_null(root: BorrowedFd<'_>) -> Result<OwnedFd> {
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let null = kit::call("to cover files with", "openat2", "/dev/null", || {
        openat2(root, "/dev/null", flags, Mode::empty(), how)
    })?;
    let found = fstat(&null).context("fstat(/dev/null)")?;
    let is_device = FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice;
    if is_device && found.st_rdev == rustix::fs::makedev(1, 3) {
        return Ok(null);
    }
    let failure = Failure::new("/dev/null of this root is not the device 1:3: refused");
    Err(failure.with_kind(FailureKind::Refused).into())
}

/// Opens a path inside the root; links and `..` stay inside. None if it does not exist.
fn open_existing(root: BorrowedFd<'_>, path: &Path) -> Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    loop {
        match openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            Ok(found) => return Ok(Some(found)),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            // openat2(2): a file was renamed while `..` was resolved. Try again.
            Err(Errno::AGAIN) => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("openat2({})", path.display()));
            }
        }
    }
}

fn is_directory(file: &OwnedFd, path: &Path) -> Result<bool> {
    let found = fstat(file).with_context(|| format!("fstat({})", path.display()))?;
    Ok(FileType::from_raw_mode(found.st_mode) == FileType::Directory)
}
