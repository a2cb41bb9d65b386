//! A layer's archive becomes a directory, for overlayfs to show: exactly, and nowhere
//! else.
//!
//! All is done by descriptor below the directory, and no symbolic link is followed on
//! the way: a link that an archive brings must not choose where its next entry goes
//! (CVE-2021-32760, CVE-2018-20990).

mod parent;
mod place;
mod put;
mod whiteout;

use std::collections::HashSet;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use bytesize::ByteSize;
use kit::Failure;

use crate::archive::Archive;
use parent::Parent;

pub(crate) use parent::open_beneath;
pub(crate) use place::remove;
pub(crate) use put::copy_attributes;
pub(crate) use whiteout::{is_opaque, is_whiteout};

/// How much may still be written; shared by all layers that are unpacked at once. A
/// small archive may claim to become a very large one: a full disk would be everybody's
/// trouble.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: AtomicU64,
    files: AtomicU64,
    room: Room,
}

/// What is free in a file system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) bytes: u64,
    pub(crate) files: u64,
}

impl Budget {
    pub(crate) fn of(room: Room) -> Self {
        Budget {
            bytes: AtomicU64::new(room.bytes),
            files: AtomicU64::new(room.files),
            room,
        }
    }

    fn spend(&self, bytes: u64) -> Result<()> {
        let free = ByteSize(self.room.bytes).display();
        take(&self.bytes, bytes)
            .ok_or_else(|| Self::gone(format_args!("the {free} that are free")))
    }

    fn spend_file(&self) -> Result<()> {
        let free = self.room.files;
        take(&self.files, 1).ok_or_else(|| {
            Self::gone(format_args!("the {free} files that there is room for"))
        })
    }

    fn gone(than: std::fmt::Arguments<'_>) -> anyhow::Error {
        let failure = Failure::new(format_args!("it unpacks to more than {than}"));
        failure
            .hint("make room, or choose another --store; or do not trust the archive")
            .into()
    }
}

fn take(left: &AtomicU64, amount: u64) -> Option<()> {
    let take = |left: u64| left.checked_sub(amount);
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok().map(drop)
}

/// What an archive asked for, and what could not be had: only root of the host has all
/// rights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Files whose owner is not mapped; they belong to who unpacks.
    pub(crate) owners: Count,
    pub(crate) devices: Count,
    pub(crate) attributes: Count,
}

/// How many, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) number: u64,
    pub(crate) first: String,
}

impl Count {
    fn add(&mut self, what: impl FnOnce() -> String) {
        if self.number == 0 {
            self.first = what();
        }
        self.number += 1;
    }

    fn join(&mut self, other: Count) {
        if self.number == 0 {
            self.first = other.first;
        }
        self.number += other.number;
    }
}

impl LeftOut {
    pub(crate) fn join(&mut self, other: LeftOut) {
        self.owners.join(other.owners);
        self.devices.join(other.devices);
        self.attributes.join(other.attributes);
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    pub(crate) left_out: LeftOut,
    /// Directories that the archive does not list, and that are there for what is in
    /// them; "" is the top. What they are like, a layer below says.
    pub(crate) implied: HashSet<Vec<u8>>,
    /// Bytes of all files.
    pub(crate) bytes: u64,
}

/// A layer's directory that is being filled.
struct Tree<'a> {
    root: &'a OwnedFd,
    budget: &'a Budget,
    parent: Option<Parent>,
    unpacked: Unpacked,
    /// Whether the archive says what the top is like.
    has_top: bool,
}

/// The most directories that an archive may leave out.
const MOST_IMPLIED: usize = 100_000;

// ANCHOR: unpack
/// Unpacks an archive into an empty directory.
///
/// # Errors
/// Whatever is wrong with the archive, with the name of the entry; what the kernel
/// says.
// Task 7.2: each entry by its parent's descriptor, which no link has led to.
pub(crate) fn unpack(
    input: impl Read,
    directory: &OwnedFd,
    budget: &Budget,
) -> Result<Unpacked> {
    let mut archive = Archive::new(input);
    let mut tree = Tree {
        root: directory,
        budget,
        parent: None,
        unpacked: Unpacked::default(),
        has_top: false,
    };
    while let Some(entry) = archive.next()? {
        tree.put(&entry, &mut archive.data()).with_context(|| entry.name())?;
    }
    tree.leave_parent()?;
    if !tree.has_top {
        tree.unpacked.implied.insert(Vec::new());
    }
    Ok(tree.unpacked)
}
// ANCHOR_END: unpack

impl AsFd for Tree<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}
