//! What aufs, Docker's first file system for layers, has left in old archives: names that
//! begin with `.wh..wh.` at the top. Hard links lead to the files in `.wh..wh.plnk`.

use anyhow::Result;

use super::whiteout::{EntryName, OPAQUE_WHITEOUT};
use super::{Unpacker, remove};
use crate::archive::EntryKind;

/// The beginning of aufs's names.
const AUFS: &[u8] = b".wh..wh.";
/// The directory with the files to which links lead.
const LINKS: &str = ".wh..wh.plnk";

/// Returns the meaning of a path that is one of aufs's.
pub(super) fn entry_name(path: &[u8], kind: &EntryKind) -> Option<EntryName<'static>> {
    if !path.starts_with(AUFS) || path == OPAQUE_WHITEOUT.as_bytes() {
        return None;
    }
    let links = [LINKS.as_bytes(), b"/"].concat();
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
            remove::remove(self.parent(), LINKS.as_ref())?;
            self.unpacked.implied.remove(LINKS.as_bytes());
        }
        Ok(())
    }
}
