//! Whiteouts: a layer removes files of the layers below. In an archive they are files
//! whose names begin with `.wh.` (OCI image specification, "Whiteouts"); overlayfs has
//! character devices 0:0, and an attribute for opaque directories (kernel documentation,
//! overlayfs, "whiteouts and opaque directories").

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result};
use rustix::fs::{FileType, Mode, Stat, XattrFlags, fgetxattr, fsetxattr, mknodat};
use rustix::io::Errno;

use super::Unpacker;
use super::open::{open_at, open_beneath};
use crate::limits::MOST_WHITEOUTS;

/// The beginning of a whiteout's name in an archive.
pub(crate) const WHITEOUT_PREFIX: &str = ".wh.";
/// The name of an opaque whiteout, which makes its directory opaque.
pub(crate) const OPAQUE_WHITEOUT: &str = ".wh..wh..opq";

/// Overlayfs's attribute of an opaque directory. It is in the `user.` namespace (mount
/// option `userxattr`), since only root may set others.
const OPAQUE: &str = "user.overlay.opaque";

/// The meaning of an entry's name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EntryName<'a> {
    /// The name of a file.
    Plain,
    /// A whiteout: the layers below lose the file of this name.
    Whiteout(&'a OsStr),
    /// An opaque whiteout: the layers below lose everything in this directory.
    OpaqueWhiteout,
    /// A file of the aufs file system, which has no meaning in overlayfs.
    Ignored,
    /// A file of aufs to which hard links lead.
    AufsLink,
    /// A whiteout of a name that no file can have.
    Malformed,
}

impl<'a> EntryName<'a> {
    pub(super) fn parse(name: &'a OsStr) -> Self {
        let prefix = WHITEOUT_PREFIX.as_bytes();
        match name.as_bytes().strip_prefix(prefix) {
            None => EntryName::Plain,
            Some(_) if name == OPAQUE_WHITEOUT => EntryName::OpaqueWhiteout,
            Some(rest) if rest.starts_with(prefix) => EntryName::Ignored,
            Some(b"" | b"." | b"..") => EntryName::Malformed,
            Some(rest) => EntryName::Whiteout(OsStr::from_bytes(rest)),
        }
    }
}

/// Tells whether a file is a whiteout of overlayfs.
pub(crate) fn is_whiteout(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice
        && found.st_rdev == 0
}

/// Makes a directory opaque: it hides everything that the layers below have in it.
pub(super) fn set_opaque(directory: &OwnedFd) -> Result<()> {
    fsetxattr(directory, OPAQUE, b"y", XattrFlags::empty()).with_context(|| {
        format!(
            "fsetxattr({OPAQUE}): the store's file system must have user attributes"
        )
    })
}

/// Tells whether a directory is opaque.
pub(crate) fn is_opaque(directory: impl AsFd) -> bool {
    let mut value = [0; 2];
    fgetxattr(directory, OPAQUE, &mut value)
        .is_ok_and(|length| value[..length] == *b"y")
}

impl Unpacker<'_> {
    // ANCHOR: hide
    /// Hides the file that the layers below have under this name. A file of this layer
    /// stays: whiteouts apply to the layers below alone, in whatever order the entries
    /// come.
    // Task 7.3: for a whiteout by name, overlayfs has a character device 0:0.
    pub(super) fn hide(&mut self, name: &OsStr) -> Result<()> {
        self.note_whiteout(name);
        let parent = self.parent();
        match mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0) {
            Err(Errno::EXIST) => {}
            made => {
                return made.with_context(|| {
                    format!("mknodat({}, a whiteout)", name.display())
                });
            }
        }
        match open_at(parent, name) {
            Ok(directory) => set_opaque(&directory),
            // A file hides the one below anyhow.
            Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(error) => Err(error).context("openat(a directory)"),
        }
    }
    // ANCHOR_END: hide

    /// Notes a whiteout for [`super::reconcile`], which removes no other whiteouts.
    fn note_whiteout(&mut self, name: &OsStr) {
        let above = self.parent.as_ref().map_or(&[][..], |parent| &parent.path);
        let whiteouts = &mut self.unpacked.whiteouts;
        let name = match above {
            [] => name.as_bytes().to_vec(),
            above => [above, name.as_bytes()].join(&b'/'),
        };
        if whiteouts.len() < MOST_WHITEOUTS
            && !whiteouts.contains(&name)
            && self.budget.spend_name(&name)
        {
            whiteouts.insert(name);
        }
    }

    /// Tells whether this layer has something else than a directory at a path or above
    /// it: the layers below show nothing there anyhow.
    pub(super) fn is_replaced(&self, path: &[u8]) -> Result<bool> {
        let mut here = open_beneath(self.top, b"").context("open(the top)")?;
        for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            here = match open_at(&here, OsStr::from_bytes(part)) {
                Ok(directory) => directory,
                Err(Errno::NOENT) => return Ok(false),
                Err(Errno::NOTDIR | Errno::LOOP) => return Ok(true),
                Err(errno) => return Err(errno).context("openat(a directory)"),
            };
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whiteout_names_the_file_that_it_removes() {
        for (name, meaning) in [
            ("x", EntryName::Plain),
            (".wh.x", EntryName::Whiteout("x".as_ref())),
            (".wh..wh..opq", EntryName::OpaqueWhiteout),
            (".wh..wh.plnk", EntryName::Ignored),
            (".wh.", EntryName::Malformed),
            (".wh...", EntryName::Malformed),
            (".wh..", EntryName::Malformed),
        ] {
            assert_eq!(EntryName::parse(name.as_ref()), meaning, "{name}");
        }
    }
}
