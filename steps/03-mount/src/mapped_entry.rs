//! Bind mounts whose files have other owners inside: idmapped mounts, mount_setattr(2).
//! Only root on the host may map owners, so the parent makes these mounts.

use std::os::fd::BorrowedFd;

use anyhow::Result;

use crate::attributes::Recursion;
use crate::entry::{Entry, EntrySource};
use crate::sources::copy_source;

impl Entry {
    /// Makes it an idmapped mount. [`Entry::copy_source`] and [`Entry::map_owners`] must
    /// follow, in the parent.
    pub fn set_mapped(&mut self) {
        self.options.id_map.get_or_insert(Recursion::Alone);
        if let EntrySource::Bind(source, _) = &mut self.source {
            source.set_made_by_parent();
        }
    }

    /// In the parent, before the clone: makes the bind mount.
    ///
    /// # Errors
    /// As [`crate::copy_sources`].
    pub fn copy_source(&self) -> Result<()> {
        match &self.source {
            EntrySource::Bind(source, recursion) => copy_source(source, *recursion),
            _ => Ok(()),
        }
    }

    /// In the parent, before the child goes on: maps the owners of the mount's files by
    /// a user namespace.
    ///
    /// # Errors
    /// As [`crate::Detached::map_owners`].
    pub fn map_owners(&self, user_namespace: BorrowedFd<'_>) -> Result<()> {
        match (&self.source, self.options.id_map) {
            (EntrySource::Bind(source, _), Some(recursion)) => {
                source.with_kept(|mount| mount.map_owners(user_namespace, recursion))
            }
            _ => Ok(()),
        }
    }
}
