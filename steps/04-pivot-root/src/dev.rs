//! /dev: a small file system in memory, with the devices that every program expects and
//! no other.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use mount::{Attributes, Detached, NOSUID_NODEV_NOEXEC, Reach, inside};
use nix::errno::Errno;
use rustix::fs::{FileType, Mode, mkdirat, mknodat, symlinkat};
use rustix::process::umask;

use crate::root::Root;

/// A device by name, with its numbers in the kernel's list of character devices:
/// <https://docs.kernel.org/admin-guide/devices.html>
type Device = (&'static str, u32, u32);

const DEVICES: [Device; 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Links that programs expect.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

// ANCHOR: mount
/// Mounts /dev, with what belongs below it. It is filled before it is attached.
pub(crate) fn mount(root: &Root) -> Result<()> {
    let nosuid_noexec = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC;
    let dev = Detached::new(
        "tmpfs",
        &[("mode", "755"), ("size", "64k")],
        nosuid_noexec,
        "a /dev in memory, for harmless devices only",
    )?;
    // what is made below has the mode that it is made with
    let ours = umask(Mode::empty());
    let to_borrow = fill(&dev)?;
    umask(ours);
    dev.attach(&inside::own_directory(root.as_fd(), "/dev")?, "/dev")?;
    to_borrow.iter().try_for_each(|device| borrow(root, device))?;

    // pts(4): every mount of devpts is an instance of its own.
    let pts = [("ptmxmode", "0666"), ("mode", "0620"), ("gid", TTY)];
    let pts = if is_mapped(TTY)? { &pts[..] } else { &pts[..2] };
    below(root, "devpts", "/dev/pts", pts, nosuid_noexec, "terminals of its own")?;
    let shm = [("mode", "1777"), ("size", "64m")];
    below(root, "tmpfs", "/dev/shm", &shm, NOSUID_NODEV_NOEXEC, "for shm_open(3)")?;
    below(root, "mqueue", "/dev/mqueue", &[], NOSUID_NODEV_NOEXEC, "for mq_open(3)")
}
// ANCHOR_END: mount

/// Fills /dev, and says which devices are still to be borrowed: to make one takes root
/// on the host, and we may be root in a user namespace only (step 6).
fn fill(dev: &Detached) -> Result<&'static [Device]> {
    let to_borrow = match DEVICES.iter().try_for_each(|device| make(dev, device)) {
        Err(error)
            if kit::errno(&error) == Some(Errno::EPERM) && in_user_namespace()? =>
        {
            &DEVICES[..]
        }
        made => made.map(|()| &[][..])?,
    };
    for (name, to) in LINKS {
        kit::call(
            "a name that programs expect",
            "symlinkat",
            format_args!("{to}, {name}"),
            || symlinkat(to, dev, name),
        )?;
    }
    for name in ["pts", "shm", "mqueue"] {
        kit::call("a mount point, for what is mounted next", "mkdirat", name, || {
            mkdirat(dev, name, Mode::from(0o755))
        })?;
    }
    Ok(to_borrow)
}

fn make(dev: &Detached, (name, major, minor): &Device) -> Result<()> {
    let number = rustix::fs::makedev(*major, *minor);
    kit::call(
        "programs expect it, and it reaches no hardware",
        "mknodat",
        format_args!("{name}, c {major}:{minor}"),
        || mknodat(dev, *name, FileType::CharacterDevice, Mode::from(0o666), number),
    )
}

/// Shows a device of the host's under its name.
fn borrow(root: &Root, (name, ..): &Device) -> Result<()> {
    let path = Path::new("/dev").join(name);
    inside::make(root.as_fd(), &path, inside::Kind::File)?;
    let device = Detached::bind(&path, Reach::Alone)?;
    device.attach(&inside::open(root.as_fd(), &path)?, path.display())
}

/// The group of terminals: pts(4).
const TTY: &str = "5";

/// Whether root here is not root on the host: user_namespaces(7). The first namespace's
/// number is known (linux/nsfs.h: USER_NS_INIT_INO).
fn in_user_namespace() -> Result<bool> {
    let its = std::fs::read_link("/proc/self/ns/user")
        .context("readlink /proc/self/ns/user")?;
    Ok(its != Path::new("user:[4026531837]"))
}

/// Whether a group id is one in our user namespace: user_namespaces(7),
/// /proc/PID/gid_map.
fn is_mapped(gid: &str) -> Result<bool> {
    let map = kit::read_kernel_file("/proc/self/gid_map")
        .context("read /proc/self/gid_map")?;
    let gid: u64 = gid.parse()?;
    let holds = |line: &str| {
        let numbers: Vec<u64> =
            line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        matches!(numbers[..], [first, _, count] if (first..first + count).contains(&gid))
    };
    Ok(map.lines().any(holds))
}

fn below(
    root: &Root,
    kind: &str,
    path: &str,
    options: &[(&str, &str)],
    how: Attributes,
    why: &str,
) -> Result<()> {
    let mount = Detached::new(kind, options, how, why)?;
    mount.attach(&inside::own_directory(root.as_fd(), path)?, path)
}

/// Shows the container's own terminal as /dev/console. By descriptors on both sides: a
/// name in /dev/pts could be made to lead elsewhere (CVE-2025-52565).
pub(crate) fn console(root: &Root, terminal: &OwnedFd) -> Result<()> {
    inside::make(root.as_fd(), "/dev/console".as_ref(), inside::Kind::File)?;
    let target = inside::open(root.as_fd(), "/dev/console".as_ref())?;
    let mount =
        Detached::bind_descriptor(terminal.as_fd(), "its terminal", Reach::Alone)?;
    mount.attach(&target, "/dev/console")
}
