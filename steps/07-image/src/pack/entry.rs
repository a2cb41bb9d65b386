//! Entries of an archive for the files of a directory.

use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{major, minor};

use crate::archive::{Entry, EntryKind};

/// Returns the kind of a file that is not a directory; None for a socket, on which no
/// process listens any more.
pub(super) fn kind(full: &Path, found: &Metadata) -> Result<Option<EntryKind>> {
    let (file_type, device) = (found.file_type(), found.rdev());
    Ok(Some(match file_type {
        _ if file_type.is_file() => EntryKind::File,
        _ if file_type.is_symlink() => {
            let target = fs::read_link(full).context("readlink")?;
            EntryKind::SymbolicLink(target.as_os_str().as_bytes().into())
        }
        _ if file_type.is_char_device() => {
            EntryKind::CharacterDevice(major(device), minor(device))
        }
        _ if file_type.is_block_device() => {
            EntryKind::BlockDevice(major(device), minor(device))
        }
        _ if file_type.is_fifo() => EntryKind::Fifo,
        _ => return Ok(None),
    }))
}

/// Makes an entry without data and attributes.
pub(super) fn make_entry(kind: EntryKind, path: &Path, found: &Metadata) -> Entry {
    Entry {
        uid: found.uid(),
        gid: found.gid(),
        mode: found.mode() & 0o7777,
        mtime: (found.mtime(), u32::try_from(found.mtime_nsec()).unwrap_or(0)),
        ..Entry::new(kind, path.as_os_str().as_bytes())
    }
}

pub(super) fn is_whiteout(found: &Metadata) -> bool {
    found.file_type().is_char_device() && found.rdev() == 0
}
