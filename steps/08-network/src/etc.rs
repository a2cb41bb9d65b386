//! /etc/hosts, /etc/hostname and /etc/resolv.conf of a container. They are files in a
//! tmpfs, mounted over those of the image, so that nothing is written into the image.
//!
//! - [`mount_points`] returns a `Request` for each file, so that its mount point is
//!   created while the root file system is still writable.
//! - The child calls [`mount()`] after `mount_defaults` and before `mount::mount_all`, so
//!   that a file that the user mounts there with `-v` covers it.

mod hosts;
mod name_server;
mod resolv_conf;

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use anyhow::{Context, Result};
use mount::inside::{self, MissingTarget, TargetKind};
use mount::{Attributes, Detached, NOSUID_NODEV_NOEXEC, Recursion, Request};
use nix::mount::{MntFlags, umount2};
use nix::unistd::fchdir;
use rustix::fs::{Mode, OFlags, StatVfsMountFlags};

pub use hosts::{AddHost, HostsFile, host_name};
pub use name_server::NameServer;
pub(crate) use resolv_conf::NETWORK_DOMAIN;
pub use resolv_conf::{ResolvConf, resolver_option};

/// The contents of the three files.
#[derive(Clone, Debug)]
pub struct EtcFiles {
    /// The container's host name.
    pub hostname: String,
    /// /etc/hosts
    pub hosts: HostsFile,
    /// /etc/resolv.conf
    pub resolv_conf: ResolvConf,
}

const PATHS: [&str; 3] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

/// The mount points of the three files, to be created with those of all mounts.
pub fn mount_points() -> Vec<Request> {
    PATHS.map(Request::mount_point).into()
}

/// Mounts the three files. Called in the child, once /proc, /sys and /dev are mounted.
///
/// # Errors
/// When a mount point is not a file, and when the kernel refuses a mount.
pub fn mount(root: BorrowedFd<'_>, files: &EtcFiles) -> Result<()> {
    let texts = [
        files.hosts.text(&files.hostname),
        format!("{}\n", files.hostname),
        files.resolv_conf.text(),
    ];
    let tmpfs = Detached::new(
        "tmpfs",
        &[("mode", "755"), ("size", "4m")],
        NOSUID_NODEV_NOEXEC,
        "memory for its hosts, hostname and resolv.conf",
    )?;
    let files: Result<Vec<_>> = PATHS
        .iter()
        .zip(&texts)
        .map(|(path, text)| write(&tmpfs, path, text))
        .collect();
    let mounts = clone_mounts(root, &tmpfs, &files?)?;
    for (mount, path) in mounts.iter().zip(PATHS) {
        mount.set_attributes(access_attributes(root)?, Recursion::Alone)?;
        let (kind, missing) = (TargetKind::File, MissingTarget::Fail);
        mount.attach(&inside::target(root, Path::new(path), kind, missing)?, path)?;
    }
    Ok(())
}

/// Writes a file into the tmpfs, with the last component of `path` as its name.
fn write(tmpfs: &Detached, path: &str, text: &str) -> Result<File> {
    let name = path.trim_start_matches("/etc/");
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    kit::call("the container's own file in /etc", "write", name, || {
        let mut file =
            File::from(rustix::fs::openat(tmpfs, name, flags, Mode::empty())?);
        rustix::fs::fchmod(&file, Mode::from(0o644))?; // the umask may be strict
        file.write_all(text.as_bytes()).map(|()| file)
    })
}

/// Makes a mount of each file. Before Linux 6.15, open_tree(2) clones only from a
/// file system that is mounted, so the tmpfs is mounted on /dev for a moment.
fn clone_mounts(
    root: BorrowedFd<'_>,
    tmpfs: &Detached,
    files: &[File],
) -> Result<Vec<Detached>> {
    tmpfs.attach(&inside::open_directory_without_links(root, "/dev")?, "/dev")?;
    let clone = |(file, path): (&File, &str)| {
        Detached::bind_descriptor(file.as_fd(), path, Recursion::Alone)
    };
    let mounts: Result<Vec<_>> = files.iter().zip(PATHS).map(clone).collect();
    let workdir = kit::open_directory(Path::new(".")).context("open .")?;
    kit::call("enter it, for umount2(.)", "fchdir", "/dev", || fchdir(tmpfs))?;
    let why = "unmount the tmpfs: each of its files is a mount of its own now";
    kit::call(why, "umount2", "/dev, MNT_DETACH", || {
        umount2(".", MntFlags::MNT_DETACH)
    })?;
    kit::call("back to where we were", "fchdir", ".", || fchdir(&workdir))?;
    mounts
}

/// The files are read-only if the root file system is.
fn access_attributes(root: BorrowedFd<'_>) -> Result<Attributes> {
    let status = rustix::fs::fstatvfs(root).context("fstatvfs(the root)")?;
    let is_read_only = status.f_flag.contains(StatVfsMountFlags::RDONLY);
    Ok(if is_read_only { Attributes::MOUNT_ATTR_RDONLY } else { Attributes::empty() })
}
