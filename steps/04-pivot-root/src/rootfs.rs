//! The root file system that the caller has requested.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::Result;
use kit::Hint;
use nix::errno::Errno;

/// The directory that a container sees as `/`, and whether it may write there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rootfs {
    /// The directory, on the host.
    pub path: PathBuf,
    /// Whether the container may write in it.
    pub access: Access,
}

/// Whether a file system can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every write fails (EROFS).
    ReadOnly,
    /// Files can be written.
    ReadWrite,
}

impl Rootfs {
    /// Opens the directory.
    pub(crate) fn open(&self) -> Result<OwnedFd> {
        open_directory(&self.path)
    }
}

/// Opens a directory to mount a root file system on.
pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd> {
    kit::call("the directory that becomes /", "open", path.display(), || {
        kit::open_directory(path)
    })
    .hint_on(
        Errno::ENOENT,
        "./rootfs-fetch.sh fetches a root file system; --rootfs names another",
    )
    .hint_on(
        Errno::ENOTDIR,
        "--rootfs names a directory; unpack an archive first: ./rootfs-fetch.sh --from FILE",
    )
}
