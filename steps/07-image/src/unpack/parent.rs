//! The directory that entries are created in. It stays open, since the next entry is
//! mostly in the same directory. When it is closed, its times are restored, which the
//! entries have changed.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail, ensure};
use bytesize::ByteSize;
use kit::Failure;
use rustix::fs::{
    AtFlags, FileType, Mode, Timestamps, chmodat, fstat, futimens, mkdirat, statat,
};
use rustix::io::Errno;

use super::metadata::{NOT_MAPPED, chown_at, times_of};
use super::open::{open_at, open_beneath};
use super::whiteout::{is_whiteout, set_opaque};
use super::{Unpacker, path, remove};
use crate::archive::shown;
use crate::limits::MOST_NOTED_NAMES;

/// A directory in which entries are being created.
pub(super) struct OpenParent {
    pub(super) path: Vec<u8>,
    directory: OwnedFd,
    /// The times to restore.
    times: Timestamps,
}

impl Unpacker<'_> {
    /// Opens the directory at this path, and creates it where it is missing.
    pub(super) fn open_parent(&mut self, path: &[u8]) -> Result<()> {
        if self.parent.as_ref().is_some_and(|parent| parent.path == path) {
            return Ok(());
        }
        self.close_parent()?;
        let directory = match open_beneath(self.top, path) {
            Err(Errno::NOENT | Errno::NOTDIR) => self.create_implied(path)?,
            opened => opened.map_err(|errno| cannot_open(path, errno))?,
        };
        let times = times_of(&fstat(&directory).context("fstat(a directory)")?);
        self.parent = Some(OpenParent { path: path.to_vec(), directory, times });
        Ok(())
    }

    /// Closes the parent directory, and restores its times.
    pub(super) fn close_parent(&mut self) -> Result<()> {
        let Some(parent) = self.parent.take() else { return Ok(()) };
        futimens(&parent.directory, &parent.times).context("utimensat(a directory)")
    }

    /// Returns the open parent directory; else the layer's top.
    pub(super) fn parent(&self) -> &OwnedFd {
        self.parent.as_ref().map_or(self.top, |parent| &parent.directory)
    }

    /// Creates the directories of a path that are missing: the archive does not list
    /// them, or lists them later.
    fn create_implied(&mut self, path: &[u8]) -> Result<OwnedFd> {
        let mut above = open_beneath(self.top, b"").context("open(the top)")?;
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for end in slashes.map(|(at, _)| at).chain([path.len()]) {
            let path = &path[..end];
            above = match open_at(&above, path::split(path).1) {
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    let before =
                        times_of(&fstat(&above).context("fstat(a directory)")?);
                    let created = self.create_one_implied(&above, path)?;
                    futimens(&above, &before).context("utimensat(a directory)")?;
                    created
                }
                opened => opened.map_err(|errno| cannot_open(path, errno))?,
            };
        }
        Ok(above)
    }

    fn create_one_implied(&mut self, above: &OwnedFd, path: &[u8]) -> Result<OwnedFd> {
        let (_, name) = path::split(path);
        let found = statat(above, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let was_whiteout = found.as_ref().is_some_and(is_whiteout);
        if was_whiteout {
            remove::remove(above, name)?;
        } else if let Some(found) = found {
            bail!(match FileType::from_raw_mode(found.st_mode) {
                FileType::Symlink => cannot_open(path, Errno::LOOP),
                _ => cannot_open(path, Errno::NOTDIR),
            });
        }
        ensure!(
            self.budget.spend_name(path),
            Failure::new(format_args!(
                "the archive does not list {} directories of files or more, whose names take more than {} together with those of whiteouts",
                self.unpacked.implied.len() + 1,
                ByteSize(MOST_NOTED_NAMES).display()
            ))
        );
        let context = "create a directory above it";
        mkdirat(above, name, Mode::from(0o755)).context(context)?;
        self.unpacked.implied.insert(path.to_vec());
        // The mode must not depend on the umask, or on a set-group-ID bit above.
        chmodat(above, name, Mode::from(0o755), AtFlags::empty()).context(context)?;
        match chown_at(above, name, 0, 0) {
            Err(NOT_MAPPED) => {}
            done => done.context(context)?,
        }
        let created = open_at(above, name).context(context)?;
        if was_whiteout {
            // The whiteout has removed the directory of the layers below, and its
            // files.
            set_opaque(&created)?;
        }
        Ok(created)
    }
}

fn cannot_open(path: &[u8], errno: Errno) -> anyhow::Error {
    let above = shown(path);
    match errno {
        Errno::LOOP => {
            Failure::new(format_args!("{above} above it is a symbolic link"))
                .hint(
                    "the archive tries to write through its own link to another place",
                )
                .into()
        }
        Errno::NOTDIR => {
            Failure::new(format_args!("{above} above it is not a directory")).into()
        }
        errno => anyhow::Error::from(errno).context(format!("open({above})")),
    }
}
