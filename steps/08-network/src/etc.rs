//! /etc/hosts, /etc/hostname and /etc/resolv.conf of a container. They are files of a
//! small file system in memory, mounted on the image's: nothing is ever written into
//! the image.
//!
//! - [`places`] are made while the root can still be written (a `Request` each, in
//!   front of the others).
//! - [`mount()`] is called in the child, after `mount_defaults` and before
//!   `mount::all`, so that what a user mounts there with `-v` lies above, and wins.

mod hosts;
mod resolv;

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use anyhow::{Context, Result};
use mount::inside::{self, TargetKind, Targets};
use mount::{Attributes, Detached, NOSUID_NODEV_NOEXEC, Recursion, Request};
use nix::mount::{MntFlags, umount2};
use nix::unistd::fchdir;
use rustix::fs::{Mode, OFlags, StatVfsMountFlags};

pub use hosts::{AddHost, Hosts, host_name, search_domain};
pub use resolv::Resolv;

/// What the three files say.
#[derive(Clone, Debug)]
pub struct Files {
    /// What the container is called.
    pub hostname: String,
    /// Who is at which address.
    pub hosts: Hosts,
    /// Whom it asks for other names.
    pub resolv: Resolv,
}

const HOSTS: &str = "/etc/hosts";
const HOSTNAME: &str = "/etc/hostname";
const RESOLV: &str = "/etc/resolv.conf";

/// The places of the three files, to be made with those of all mounts.
pub fn places() -> Vec<Request> {
    [HOSTS, HOSTNAME, RESOLV].map(Request::mount_point).into()
}

/// In the child, once /proc, /sys and /dev are mounted: shows it the three files.
///
/// # Errors
/// When a place is none that a file can be mounted on, and what the kernel says of the
/// mounts.
pub fn mount(root: BorrowedFd<'_>, files: &Files) -> Result<()> {
    let texts = [
        (HOSTS, files.hosts.text(&files.hostname)),
        (HOSTNAME, format!("{}\n", files.hostname)),
        (RESOLV, files.resolv.text()),
    ];
    let options = [("mode", "755"), ("size", "4m")];
    let memory = Detached::new(
        "tmpfs",
        &options,
        NOSUID_NODEV_NOEXEC,
        "memory for its hosts, hostname and resolv.conf",
    )?;
    let written: Result<Vec<_>> =
        texts.iter().map(|(path, text)| write(&memory, path, text)).collect();
    for (file, (path, _)) in views(root, &memory, &written?)?.iter().zip(&texts) {
        file.set(access(root)?, Recursion::Alone)?;
        file.attach(
            &inside::target(
                root,
                Path::new(path),
                TargetKind::File,
                Targets::MustExist,
            )?,
            path,
        )?;
    }
    Ok(())
}

/// A file in `memory`, under the last part of its name.
fn write(memory: &Detached, path: &str, text: &str) -> Result<std::fs::File> {
    let name = path.trim_start_matches("/etc/");
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    kit::call("a file in /etc that names who is on the network", "write", name, || {
        let mut file = std::fs::File::from(rustix::fs::openat(
            memory,
            name,
            flags,
            Mode::empty(),
        )?);
        rustix::fs::fchmod(&file, Mode::from(0o644))?; // whatever our umask is
        file.write_all(text.as_bytes()).map(|()| file)
    })
}

/// A mount of each file alone. open_tree(2): only what is mounted somewhere can be
/// cloned (before Linux 6.15), so for this moment the memory lies on /dev, which is put
/// back.
fn views(
    root: BorrowedFd<'_>,
    memory: &Detached,
    files: &[std::fs::File],
) -> Result<Vec<Detached>> {
    memory.attach(&inside::own_directory(root, "/dev")?, "/dev")?;
    let views: Result<Vec<_>> = files
        .iter()
        .zip([HOSTS, HOSTNAME, RESOLV])
        .map(|(file, path)| {
            Detached::bind_descriptor(file.as_fd(), path, Recursion::Alone)
        })
        .collect();
    let here = rustix::fs::open(".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .context("open(.)")?;
    kit::call(
        "take it off: each file is a mount of its own now",
        "umount2",
        "/dev, MNT_DETACH",
        || {
            fchdir(memory)?;
            umount2(".", MntFlags::MNT_DETACH)?;
            fchdir(&here)
        },
    )?;
    views
}

/// Where nothing of the root can be written, these cannot either.
fn access(root: BorrowedFd<'_>) -> Result<Attributes> {
    let status = rustix::fs::fstatvfs(root).context("fstatvfs(the root)")?;
    let is_read_only = status.f_flag.contains(StatVfsMountFlags::RDONLY);
    Ok(if is_read_only { Attributes::MOUNT_ATTR_RDONLY } else { Attributes::empty() })
}
