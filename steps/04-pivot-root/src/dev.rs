//! /dev: a small file system in memory, with the devices that every program expects and
//! no other devices.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use kit::{Failure, FailureKind, Size};
use mount::inside::{self, TargetKind};
use mount::{Attributes, Detached, NOSUID_NODEV_NOEXEC, Recursion};
use nix::errno::Errno;
use rustix::fs::{FileType, Mode, mkdirat, mknodat, symlinkat};
use rustix::process::umask;

/// A character device that everybody may read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device<'a> {
    /// The name of its node in /dev: a file name, without a directory.
    pub name: &'a str,
    /// The driver, by its number in the kernel's list:
    /// <https://docs.kernel.org/admin-guide/devices.html>
    pub major: u32,
    /// The number of the device among those of its driver.
    pub minor: u32,
}

/// The devices of every container:
/// <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#default-devices>
pub const DEVICES: [Device<'_>; 6] = [
    Device { name: "null", major: 1, minor: 3 },
    Device { name: "zero", major: 1, minor: 5 },
    Device { name: "full", major: 1, minor: 7 },
    Device { name: "random", major: 1, minor: 8 },
    Device { name: "urandom", major: 1, minor: 9 },
    Device { name: "tty", major: 5, minor: 0 },
];

/// The symbolic links that programs expect in /dev, and their targets.
pub(crate) const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

// ANCHOR: mount
/// Mounts /dev, and the file systems below it. The tmpfs is filled before it is
/// attached.
///
/// # Errors
/// When /dev of this root is not an ordinary directory, or the kernel refuses a call.
pub fn mount(root: BorrowedFd<'_>, shm_size: Size) -> Result<()> {
    let nosuid_noexec = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC;
    let dev = Detached::new(
        "tmpfs",
        &[("mode", "755"), ("size", "64k")],
        nosuid_noexec,
        "a /dev in memory, for harmless devices only",
    )?;
    let without_node = make_nodes(dev.as_fd(), &DEVICES)?;
    make_links(dev.as_fd())?;
    make_directories(dev.as_fd())?;
    dev.attach(&inside::open_directory_without_links(root, "/dev")?, "/dev")?;
    without_node.iter().try_for_each(|device| bind_from_host(root, device))?;

    // pts(4): every mount of devpts is an instance of its own.
    let pts = [("ptmxmode", "0666"), ("mode", "0620"), ("gid", TTY)];
    let pts = if is_gid_mapped(TTY)? { &pts[..] } else { &pts[..2] };
    submount(root, "devpts", "/dev/pts", pts, nosuid_noexec, "terminals of its own")?;
    let shm = [("mode", "1777"), ("size", &shm_size.0.to_string())];
    submount(root, "tmpfs", "/dev/shm", &shm, NOSUID_NODEV_NOEXEC, "for shm_open(3)")?;
    submount(root, "mqueue", "/dev/mqueue", &[], NOSUID_NODEV_NOEXEC, "for mq_open(3)")
}
// ANCHOR_END: mount

/// Makes the nodes of these devices in the directory `dir`. Returns the devices that
/// have no node yet, for [`bind_from_host`]: in a user namespace (step 6) these are all
/// of them, since mknod(2) of a device needs root on the host.
///
/// # Errors
/// When a name is no file name, and the kernel's, from mknod(2).
pub fn make_nodes<'a, 'b>(
    dir: BorrowedFd<'_>,
    devices: &'a [Device<'b>],
) -> Result<&'a [Device<'b>]> {
    // mknod(2) clears the umask's bits in the mode
    let callers_umask = umask(Mode::empty());
    let made = devices.iter().try_for_each(|device| make_node(dir, device));
    umask(callers_umask);
    match made {
        Err(error)
            if kit::errno(&error) == Some(Errno::EPERM) && in_user_namespace()? =>
        {
            Ok(devices)
        }
        made => made.map(|()| &[][..]),
    }
}

fn make_node(
    dir: BorrowedFd<'_>,
    Device { name, major, minor }: &Device<'_>,
) -> Result<()> {
    check_name(name)?;
    let number = rustix::fs::makedev(*major, *minor);
    kit::call(
        "programs expect it, and it reaches no hardware",
        "mknodat",
        format_args!("{name}, c {major}:{minor}"),
        || mknodat(dir, *name, FileType::CharacterDevice, Mode::from(0o666), number),
    )
}

/// Binds the host's node of a device to the same name in /dev of `root`.
///
/// # Errors
/// When its name is no file name, the host has no such device, or the kernel refuses
/// the mount.
pub fn bind_from_host(root: BorrowedFd<'_>, device: &Device<'_>) -> Result<()> {
    check_name(device.name)?;
    let path = Path::new("/dev").join(device.name);
    inside::make(root, &path, TargetKind::File)?;
    let device = Detached::bind(&path, Recursion::Alone)?;
    device.attach(&inside::open(root, &path)?, path.display())
}

/// Refuses a name that would lead out of /dev: `../etc/shadow`, or an absolute path.
fn check_name(name: &str) -> Result<()> {
    if Path::new(name).file_name() == Some(name.as_ref()) {
        return Ok(());
    }
    let failure = Failure::new(format_args!("{name:?} is no name of a device in /dev"));
    Err(failure.with_kind(FailureKind::Usage).into())
}

/// Makes the links /dev/fd, stdin, stdout, stderr and ptmx in the directory `dir`.
///
/// # Errors
/// The kernel's, from symlink(2).
pub fn make_links(dir: BorrowedFd<'_>) -> Result<()> {
    LINKS.iter().try_for_each(|(name, to)| {
        kit::call(
            "a name that programs expect",
            "symlinkat",
            format_args!("{to}, {name}"),
            || symlinkat(*to, dir, *name),
        )
    })
}

/// Makes the directories in /dev that other file systems are mounted on.
fn make_directories(dir: BorrowedFd<'_>) -> Result<()> {
    let callers_umask = umask(Mode::empty());
    let made = ["pts", "shm", "mqueue"].iter().try_for_each(|name| {
        kit::call("a mount point for one of the next mounts", "mkdirat", name, || {
            mkdirat(dir, *name, Mode::from(0o755))
        })
    });
    umask(callers_umask);
    made
}

/// The id of the group `tty`, which owns terminals: pts(4).
const TTY: &str = "5";

/// Whether we are in a user namespace other than the host's: user_namespaces(7). The
/// inode number of the host's is fixed (linux/nsfs.h: USER_NS_INIT_INO).
///
/// # Errors
/// The kernel's, from readlink(2).
pub fn in_user_namespace() -> Result<bool> {
    let ours = std::fs::read_link("/proc/self/ns/user")
        .context("readlink /proc/self/ns/user")?;
    Ok(ours != Path::new("user:[4026531837]"))
}

/// Whether our user namespace has this group id: user_namespaces(7),
/// /proc/PID/gid_map.
fn is_gid_mapped(gid: &str) -> Result<bool> {
    let map = kit::read_kernel_file("/proc/self/gid_map")
        .context("read /proc/self/gid_map")?;
    let gid: u64 = gid.parse()?;
    let includes_gid = |line: &str| {
        let numbers: Vec<u64> =
            line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        matches!(numbers[..], [first, _, count] if (first..first + count).contains(&gid))
    };
    Ok(map.lines().any(includes_gid))
}

/// Mounts a new file system of this type at `path`, below /dev.
fn submount(
    root: BorrowedFd<'_>,
    kind: &str,
    path: &str,
    options: &[(&str, &str)],
    attributes: Attributes,
    why: &str,
) -> Result<()> {
    let mount = Detached::new(kind, options, attributes, why)?;
    mount.attach(&inside::open_directory_without_links(root, path)?, path)
}

/// Binds the container's terminal to /dev/console. Source and target are both file
/// descriptors: a path in /dev/pts could be made to lead elsewhere (CVE-2025-52565).
pub(crate) fn console(root: BorrowedFd<'_>, terminal: &OwnedFd) -> Result<()> {
    let path = Path::new("/dev/console");
    inside::make(root, path, TargetKind::File)?;
    let target = inside::open(root, path)?;
    let mount =
        Detached::bind_descriptor(terminal.as_fd(), "its terminal", Recursion::Alone)?;
    mount.attach(&target, path.display())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_device_whose_name_leads_out_of_dev_is_refused() {
        // No file can be made in /proc/self, so a mistake does no harm.
        let dir = File::open("/proc/self").unwrap();
        for name in ["", ".", "..", "/etc/passwd", "../null", "a/b", "null/"] {
            let device = Device { name, major: 1, minor: 3 };
            let made = make_nodes(dir.as_fd(), &[device]).map(drop);
            for refused in [made, bind_from_host(dir.as_fd(), &device)] {
                let error = refused.unwrap_err().to_string();
                assert!(error.contains("is no name of a device"), "{name}: {error}");
            }
        }
        for device in &DEVICES {
            check_name(device.name).unwrap();
        }
    }
}
