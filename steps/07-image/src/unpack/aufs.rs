//! Files of aufs, Docker's first file system for layers, in old archives. They are at
//! the top, and their names begin with `.wh..wh.`. Hard links lead to those in
//! `.wh..wh.plnk`.

use anyhow::Result;

use super::whiteout::{EntryName, OPAQUE_WHITEOUT};
use super::{Unpacker, remove};
use crate::archive::EntryKind;

/// The beginning of aufs's names.
const AUFS: &[u8] = b".wh..wh.";
/// The directory with the files to which links lead.
const LINK_TARGETS: &str = ".wh..wh.plnk";

/// Returns the meaning of a path that is one of aufs's; None for any other path.
pub(super) fn entry_name(path: &[u8], kind: &EntryKind) -> Option<EntryName<'static>> {
    if !path.starts_with(AUFS) || path == OPAQUE_WHITEOUT.as_bytes() {
        return None;
    }
    let links = [LINK_TARGETS.as_bytes(), b"/"].concat();
    let name = path.strip_prefix(links.as_slice());
    let is_linked = name.is_some_and(|name| !name.contains(&b'/'));
    Some(match kind {
        EntryKind::File if is_linked => EntryName::AufsLink,
        _ => EntryName::Ignored,
    })
}

impl Unpacker<'_> {
    /// Removes aufs's files once all links to them are made.
    pub(super) fn remove_aufs_links(&mut self) -> Result<()> {
        if self.has_aufs_links {
            self.open_parent(b"")?;
            remove::remove(self.parent(), LINK_TARGETS.as_ref())?;
            self.unpacked.implied.remove(LINK_TARGETS.as_bytes());
        }
        Ok(())
    }
}
