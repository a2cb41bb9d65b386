//! Unpacks a layer's archive into a directory for overlayfs.
//!
//! All calls take descriptors below the directory, and follow no symbolic link: a link in
//! an archive must not decide where the next entry goes (CVE-2021-32760, CVE-2018-20990).

mod aufs;
mod budget;
mod create;
mod file;
mod hiding;
mod metadata;
mod open;
mod parent;
mod path;
mod reconcile;
mod remove;
mod whiteout;

use std::collections::HashSet;
use std::io::Read;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};

use crate::archive::ArchiveReader;
use parent::OpenParent;

pub(crate) use budget::{Budget, FreeSpace};
pub(crate) use metadata::copy_metadata;
pub(crate) use open::open_beneath;
pub(crate) use reconcile::reconcile;
pub(crate) use remove::remove;
pub(crate) use whiteout::{OPAQUE_WHITEOUT, WHITEOUT_PREFIX, is_opaque, is_whiteout};

/// Metadata and devices that could not be unpacked: only root of the host may create
/// them all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Files whose owner is not mapped: they belong to the user who unpacks.
    pub(crate) owners: Count,
    pub(crate) devices: Count,
    pub(crate) attributes: Count,
    /// Names that began with a slash. They were taken as paths from the layer's top.
    pub(crate) absolute: Count,
}

/// The number of things that were left out, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) number: u64,
    pub(crate) first: String,
}

impl Count {
    pub(crate) fn add(&mut self, what: impl FnOnce() -> String) {
        if self.number == 0 {
            self.first = what();
        }
        self.number += 1;
    }

    fn merge(&mut self, other: Count) {
        if self.number == 0 {
            self.first = other.first;
        }
        self.number += other.number;
    }
}

impl LeftOut {
    pub(crate) fn merge(&mut self, other: LeftOut) {
        self.owners.merge(other.owners);
        self.devices.merge(other.devices);
        self.attributes.merge(other.attributes);
        self.absolute.merge(other.absolute);
    }
}

/// The outcome of unpacking.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    pub(crate) left_out: LeftOut,
    /// The directories that the archive does not list, and that exist for the files in
    /// them; "" is the top. A layer below may have their metadata.
    pub(crate) implied: HashSet<Vec<u8>>,
    /// The paths that are whited out, up to a limit.
    pub(crate) whiteouts: HashSet<Vec<u8>>,
    /// Bytes of all files.
    pub(crate) bytes: u64,
}

/// Fills a layer's directory.
struct Unpacker<'a> {
    top: &'a OwnedFd,
    budget: &'a Budget,
    parent: Option<OpenParent>,
    unpacked: Unpacked,
    /// Whether the archive lists the top itself.
    lists_top: bool,
    /// Whether the tree has files of aufs to which hard links lead.
    has_aufs_links: bool,
}

impl<'a> Unpacker<'a> {
    fn new(top: &'a OwnedFd, budget: &'a Budget) -> Self {
        Unpacker {
            top,
            budget,
            parent: None,
            unpacked: Unpacked::default(),
            lists_top: false,
            has_aufs_links: false,
        }
    }
}

// ANCHOR: unpack
/// Unpacks an archive into an empty directory.
///
/// # Errors
/// The archive is malformed or leads out of the directory; or a system call fails. The
/// error has the name of the entry.
// Task 7.2: each entry by its parent's descriptor, to which no link has led.
pub(crate) fn unpack(
    input: impl Read,
    directory: &OwnedFd,
    budget: &Budget,
) -> Result<Unpacked> {
    let mut archive = ArchiveReader::new(input);
    let mut unpacker = Unpacker::new(directory, budget);
    while let Some(entry) = archive.next()? {
        unpacker.create_entry(&entry, archive.data()).with_context(|| entry.name())?;
    }
    unpacker.remove_aufs_links()?;
    unpacker.close_parent()?;
    if !unpacker.lists_top {
        unpacker.unpacked.implied.insert(Vec::new());
    }
    Ok(unpacker.unpacked)
}
// ANCHOR_END: unpack
