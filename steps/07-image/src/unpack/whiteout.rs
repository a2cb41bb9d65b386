//! What a layer takes away from those below it. Archives say it by names that begin
//! with `.wh.` (OCI image specification, "Whiteouts"), overlayfs by character devices
//! 0:0 and an attribute of directories (kernel documentation, overlayfs, "whiteouts and
//! opaque directories").

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result};
use rustix::fs::{FileType, Mode, Stat, XattrFlags, fgetxattr, fsetxattr, mknodat};
use rustix::io::Errno;

use super::{Tree, place};

/// Overlayfs's attribute of a directory that hides what layers below have there. In the
/// `user.` namespace (mount option `userxattr`), since who is not root may set no
/// other.
pub(crate) const OPAQUE: &str = "user.overlay.opaque";

/// What an entry's name asks for.
pub(super) enum Name<'a> {
    /// An entry like any other.
    Plain,
    /// What has this name below is gone.
    Gone(&'a OsStr),
    /// The whole directory is new.
    Opaque,
    /// Something of the aufs file system's that means nothing here.
    Ignored,
    /// A whiteout of nothing that could be.
    Malformed,
}

pub(super) fn meaning(name: &OsStr) -> Name<'_> {
    match name.as_bytes().strip_prefix(b".wh.") {
        None => Name::Plain,
        Some(b".wh..opq") => Name::Opaque,
        Some(rest) if rest.starts_with(b".wh.") => Name::Ignored,
        Some(b"" | b"." | b"..") => Name::Malformed,
        Some(rest) => Name::Gone(OsStr::from_bytes(rest)),
    }
}

/// Whether a file is a whiteout of overlayfs's.
pub(crate) fn is_whiteout(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice
        && found.st_rdev == 0
}

/// Hides whatever layers below have in this directory.
pub(super) fn set_opaque(directory: &OwnedFd) -> Result<()> {
    fsetxattr(directory, OPAQUE, b"y", XattrFlags::empty()).with_context(|| {
        format!(
            "fsetxattr({OPAQUE}): the store's file system must have user attributes"
        )
    })
}

/// Whether a directory hides what layers below have there.
pub(crate) fn is_opaque(directory: impl AsFd) -> bool {
    let mut value = [0; 2];
    fgetxattr(directory, OPAQUE, &mut value)
        .is_ok_and(|length| value[..length] == *b"y")
}

impl Tree<'_> {
    // ANCHOR: hide
    /// Hides what layers below have of this name. If this layer has it itself, that
    /// stays: whiteouts are about the layers below alone, in whatever order they come.
    // Task 7.3: what the archive says by a name, overlayfs says by a character device
    // 0:0.
    pub(super) fn hide(&self, name: &OsStr) -> Result<()> {
        let parent = self.parent();
        match mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0) {
            Err(Errno::EXIST) => {}
            made => {
                return made.with_context(|| {
                    format!("mknodat({}, a whiteout)", name.display())
                });
            }
        }
        let flags = rustix::fs::OFlags::DIRECTORY
            | rustix::fs::OFlags::NOFOLLOW
            | rustix::fs::OFlags::CLOEXEC;
        match rustix::fs::openat(
            parent,
            name,
            flags | rustix::fs::OFlags::RDONLY,
            Mode::empty(),
        ) {
            Ok(directory) => set_opaque(&directory),
            // what is no directory hides it as it is
            Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(error) => Err(error).context("openat(a directory)"),
        }
    }
    // ANCHOR_END: hide

    /// Makes room for an entry. True: what was there hid something of the layers below.
    pub(super) fn make_room(&self, name: &OsStr) -> Result<bool> {
        let found = rustix::fs::statat(
            self.parent(),
            name,
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        );
        place::remove(self.parent(), name)?;
        Ok(found.is_ok_and(|found| is_whiteout(&found)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whiteout_names_what_is_gone() {
        let of = |name: &str| match meaning(name.as_ref()) {
            Name::Plain => "plain".to_string(),
            Name::Gone(name) => format!("gone {}", name.display()),
            Name::Opaque => "opaque".into(),
            Name::Ignored => "ignored".into(),
            Name::Malformed => "malformed".into(),
        };
        for (name, meaning) in [
            ("x", "plain"),
            (".wh.x", "gone x"),
            (".wh..wh..opq", "opaque"),
            (".wh..wh.plnk", "ignored"),
            (".wh.", "malformed"),
            (".wh...", "malformed"),
            (".wh..", "malformed"),
        ] {
            assert_eq!(of(name), meaning, "{name}");
        }
    }
}
