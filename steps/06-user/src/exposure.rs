//! Root file systems on the host that every user can enter.
//!
//! With `--userns auto`, root inside a container of root's is nobody outside, but its
//! files are root's on the disk: the mount maps their owners. If such a file is a
//! set-user-ID program, any user of the host who can reach it becomes root.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use kit::Failure;
use pivot_root::{Access, Rootfs};
use rustix::fs::{Mode, OFlags, Stat, StatVfsMountFlags, fstat, fstatvfs, openat};

/// Warns on a terminal if users other than root can reach the files of a container that
/// root starts with ids of its own. A script cannot act on it, and may compare what a
/// command prints.
pub(crate) fn warn_if_exposed(rootfs: &Rootfs) {
    // The warning is no part of the start, so nor is an error in looking for its reason.
    let is_exposed = || is_exposed(&rootfs.path).unwrap_or(false);
    let is_seen = io::stderr().is_terminal();
    if is_seen && rootfs.access == Access::ReadWrite && is_exposed() {
        let what = "every user of this host can enter it: a set-user-ID program that the \
                    container makes in it is root's";
        let hint = "move it into a directory that only root can enter (chmod 700)";
        kit::warn_error(rootfs.path.display(), &Failure::new(what).hint(hint).into());
    }
}

/// Tells whether every directory from `/` down to this one can be entered by a user
/// other than root.
fn is_exposed(rootfs: &Path) -> io::Result<bool> {
    let mut directory = kit::open_directory(rootfs)?;
    if fstatvfs(&directory)?.f_flag.contains(StatVfsMountFlags::NOSUID) {
        return Ok(false);
    }
    loop {
        let found = fstat(&directory)?;
        if is_closed(&found) {
            return Ok(false);
        }
        let above = open_parent(&directory)?;
        let above_found = fstat(&above)?;
        // `/` is its own parent.
        if (found.st_dev, found.st_ino) == (above_found.st_dev, above_found.st_ino) {
            return Ok(true);
        }
        directory = above;
    }
}

fn open_parent(directory: &impl AsFd) -> rustix::io::Result<OwnedFd> {
    openat(
        directory,
        "..",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// Tells whether only root can enter a directory: path_resolution(7), "search
/// permission".
fn is_closed(directory: &Stat) -> bool {
    let mode = Mode::from_raw_mode(directory.st_mode);
    let is_open_to_group = directory.st_gid != 0 && mode.contains(Mode::XGRP);
    directory.st_uid == 0 && !is_open_to_group && !mode.contains(Mode::XOTH)
}
