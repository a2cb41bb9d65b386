//! The place of a file: the same file may be on several mounts.

use std::os::fd::BorrowedFd;

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, StatxFlags, statx};

/// A file on a mount. The same file may be on several mounts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) mount: u64,
    /// The device, which differs between the subvolumes of a mount, and the inode.
    file: (u32, u32, u64),
}

impl Place {
    pub(crate) fn of(file: BorrowedFd<'_>) -> Result<Self> {
        let wanted = StatxFlags::MNT_ID | StatxFlags::INO;
        let found = statx(file, "", AtFlags::EMPTY_PATH, wanted)
            .context("statx(a mount target)")?;
        let file = (found.stx_dev_major, found.stx_dev_minor, found.stx_ino);
        Ok(Place { mount: found.stx_mnt_id, file })
    }
    /// Tells whether another descriptor refers to the same file on the same mount.
    pub(crate) fn is_of(self, file: BorrowedFd<'_>) -> bool {
        Place::of(file).is_ok_and(|place| place == self)
    }
}
