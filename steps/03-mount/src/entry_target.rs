//! The targets of entries: opened inside the root, and refused where a mount would hide
//! the container's own /proc from the runtime.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Failure, FailureKind, Hint};
use nix::errno::Errno;
use rustix::fs::{PROC_SUPER_MAGIC, fstat, fstatfs};

use crate::detached::Detached;
use crate::make::{TargetKind, make};
use crate::place::Place;
use crate::resolve::{
    open, open_directory_without_links, open_path_without_links, open_silently,
};

/// The kind of file system that covers a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    /// A /proc or /sys, new or the host's: only an ordinary directory may be covered. An
    /// image whose /proc is a symbolic link could otherwise choose another
    /// (CVE-2019-19921, CVE-2023-27561).
    Kernel,
    /// Any other.
    Other,
}

/// The files in /proc that may be covered. Programs emulate them, so that `free` and
/// `top` show the limits of the container.
const EMULATED: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// The inode number of the top of every /proc and /sys: linux/proc_ns.h, PROC_ROOT_INO.
const TOP_INO: u64 = 1;

/// linux/magic.h
const SYSFS_MAGIC: rustix::fs::FsWord = 0x6265_6572;

impl Cover {
    /// Recognizes the kind of a mount.
    pub(crate) fn of(mount: &Detached) -> Result<Self> {
        let name = mount.name();
        let kind = fstatfs(mount).with_context(|| format!("fstatfs({name})"))?;
        let top = fstat(mount).with_context(|| format!("fstat({name})"))?;
        let is_of_kernel = [PROC_SUPER_MAGIC, SYSFS_MAGIC].contains(&kind.f_type);
        Ok(match is_of_kernel && top.st_ino == TOP_INO {
            true => Cover::Kernel,
            false => Cover::Other,
        })
    }
}

/// Opens a target inside `root`, and makes it first if it is missing.
pub(crate) fn open_target(
    root: BorrowedFd<'_>,
    path: &Path,
    kind: TargetKind,
    cover: Cover,
) -> Result<OwnedFd> {
    let path = &cleaned(path);
    if cover != Cover::Other {
        return open_without_links(root, path);
    }
    refuse_path_in_proc(path)?;
    make(root, path, kind)?;
    let target = open(root, path)?;
    refuse_place(root, path, target.as_fd())?;
    Ok(target)
}

/// Opens an ordinary directory, and makes it first if nothing is there.
fn open_without_links(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    if open_path_without_links(root, path).err() == Some(rustix::io::Errno::NOENT) {
        make(root, path, TargetKind::Directory)?;
    }
    let target = open_directory_without_links(root, &path.to_string_lossy())
        .hint_on(Errno::ELOOP, "an image must not choose what /proc or /sys covers")?;
    match Place::of(target.as_fd())? == Place::of(root)? {
        true => Err(refused(path, "the root itself")),
        false => Ok(target),
    }
}

/// Removes `.` and `..`, and begins the path at the root.
fn cleaned(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::ParentDir => drop(cleaned.pop()),
            Component::Normal(name) => cleaned.push(name),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    cleaned
}

/// Refuses a path in /proc, whatever is there by now: a new /proc might be mounted
/// before, and another file system would then be taken for it (CVE-2019-16884).
fn refuse_path_in_proc(path: &Path) -> Result<()> {
    let is_emulated = EMULATED.iter().any(|file| path == Path::new(file));
    match path.starts_with("/proc") && !is_emulated {
        true => Err(refused(path, "what is in /proc")),
        false => Ok(()),
    }
}

/// Refuses the root itself and, where a symbolic link leads there, what is in /proc.
fn refuse_place(
    root: BorrowedFd<'_>,
    path: &Path,
    target: BorrowedFd<'_>,
) -> Result<()> {
    let place = Place::of(target)?;
    if place == Place::of(root)? {
        return Err(refused(path, "the root itself"));
    }
    let found = |path: &str| open_silently(root, Path::new(path)).ok();
    let is_at = |path: &str| found(path).is_some_and(|it| place.is_of(it.as_fd()));
    // The devices are made in /dev, so a link of the image must not choose what is there.
    if is_at("/dev") && path != Path::new("/dev") {
        return Err(refused(path, "/dev, by another name,"));
    }
    let kind =
        fstatfs(target).with_context(|| format!("fstatfs({})", path.display()))?;
    let is_in_proc = kind.f_type == PROC_SUPER_MAGIC || is_at("/proc");
    match is_in_proc && !EMULATED.iter().any(|file| is_at(file)) {
        true => Err(refused(path, "what is in /proc")),
        false => Ok(()),
    }
}

fn refused(path: &Path, what: &str) -> anyhow::Error {
    let path = path.display();
    let failure =
        Failure::new(format_args!("mount on {path}: {what} cannot be mounted over"));
    failure.with_kind(FailureKind::Usage).into()
}
