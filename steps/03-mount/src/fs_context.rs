//! A file system that is being configured: fsopen(2), fsconfig(2), fsmount(2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Result;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, fsconfig_create, fsconfig_reconfigure,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, fspick,
};
use rustix::path::Arg;

use crate::attributes::Attributes;

/// A file system context: it collects options, and then makes one mount.
#[derive(Debug)]
pub struct FsContext(OwnedFd);

impl FsContext {
    /// Opens a context for a file system of this type.
    ///
    /// # Errors
    /// ENODEV where the kernel has no such file system, EPERM without root.
    pub fn open(kind: &str) -> Result<Self> {
        fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map(FsContext)
    }

    /// Sets an option that has a value. The key `source` sets the mount source: the
    /// field of that name in mountinfo, and the first column of df.
    ///
    /// # Errors
    /// EINVAL for an option or value that the file system does not know;
    /// [`FsContext::message`] says more.
    pub fn set(&self, key: &str, value: impl Arg) -> Result<()> {
        fsconfig_set_string(self.0.as_fd(), key, value)
    }

    /// Sets an option that has no value.
    ///
    /// # Errors
    /// As [`FsContext::set`].
    pub fn set_flag(&self, key: &str) -> Result<()> {
        fsconfig_set_flag(self.0.as_fd(), key)
    }

    /// Creates the superblock and a detached mount of it.
    ///
    /// # Errors
    /// The kernel's, from fsconfig(2) and fsmount(2).
    pub fn mount(&self, attributes: Attributes) -> Result<OwnedFd> {
        fsconfig_create(self.0.as_fd())?;
        fsmount(&self.0, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    }

    /// Opens a context for the file system that is mounted here: fspick(2).
    ///
    /// # Errors
    /// EINVAL where the descriptor is not the root of a mount.
    pub fn pick(mount: BorrowedFd<'_>) -> Result<Self> {
        let flags = FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC;
        fspick(mount, "", flags).map(FsContext)
    }

    /// Changes the options of a file system that is mounted already.
    ///
    /// # Errors
    /// The kernel's, from fsconfig(2).
    pub fn reconfigure(&self) -> Result<()> {
        fsconfig_reconfigure(self.0.as_fd())
    }

    /// Sets an option as a table of mounts has it: `size=64k` or `newinstance`.
    ///
    /// # Errors
    /// As [`FsContext::set`].
    pub fn set_word(&self, word: &str) -> Result<()> {
        match word.split_once('=') {
            Some((key, value)) => self.set(key, value),
            None => self.set_flag(word),
        }
    }

    /// Takes the next message of the file system, if there is one: fsopen(2), "Message
    /// retrieval interface".
    pub fn message(&self) -> Option<String> {
        let mut text = [0; 256];
        let length = rustix::io::read(&self.0, &mut text).unwrap_or(0);
        let text = String::from_utf8_lossy(&text[..length]);
        // "e tmpfs: Bad value for 'size'": the letter is the severity.
        let text = text.trim_end().trim_start_matches("e ");
        (!text.is_empty()).then(|| text.into())
    }
}
