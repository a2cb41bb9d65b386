//! Lists the files of an archive, without reading their content.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};
use kit::Failure;

use crate::archive::{ArchiveReader, EntryKind, shown};
use crate::limits::{MOST_MEMBER_NAMES, MOST_MEMBERS};

/// How many bytes are compared at once.
const BLOCK: usize = 64 * 1024;

/// The place of a file's content in the archive, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Returns the places of an archive's files, by name. A link has the place of its target:
/// `docker save` once wrote the layers that several images share as links.
pub(super) fn list_files(file: &File) -> Result<HashMap<String, Extent>> {
    let mut archive = ArchiveReader::new(file);
    let mut listing = Listing::new(file)?;
    let mut links = Vec::new();
    while let Some(entry) = archive.next()? {
        let Ok(name) = str::from_utf8(&entry.path) else { continue };
        let name = strip_top(name).to_string();
        match &entry.kind {
            EntryKind::File if entry.segments.is_none() => {
                listing.count_name(name.len())?;
                let extent = Extent { offset: archive.position()?, length: entry.size };
                listing.add(name, extent)?;
            }
            EntryKind::SymbolicLink(target) | EntryKind::HardLink(target) => {
                listing.count_name(2 * name.len() + target.len())?;
                let is_hard = matches!(entry.kind, EntryKind::HardLink(_));
                links.extend(str::from_utf8(target).ok().map(|target| {
                    (name.clone(), resolve_link(&name, target, is_hard))
                }));
            }
            _ => listing.count_name(0)?,
        }
        archive.seek_over_data()?;
    }
    for (name, target) in links {
        if let Some(extent) = listing.members.get(&target).copied() {
            listing.add(name, extent)?;
        }
    }
    Ok(listing.members)
}

/// Returns a name without the `./` and `/` at its beginning.
fn strip_top(mut name: &str) -> &str {
    while let Some(rest) = name.strip_prefix("./").or_else(|| name.strip_prefix('/')) {
        name = rest;
    }
    name
}

/// The files of an archive that have been found.
struct Listing<'a> {
    archive: &'a File,
    /// The size of the archive, in bytes.
    size: u64,
    members: HashMap<String, Extent>,
    /// The number of entries, and the bytes of their names.
    entries: usize,
    names: usize,
    /// How many bytes of files have been compared.
    compared: u64,
}

impl<'a> Listing<'a> {
    fn new(archive: &'a File) -> Result<Self> {
        let size = archive.metadata().context("fstat")?.len();
        let members = HashMap::new();
        Ok(Listing { archive, size, members, entries: 0, names: 0, compared: 0 })
    }

    /// Counts an entry with names of so many bytes.
    fn count_name(&mut self, bytes: usize) -> Result<()> {
        self.entries += 1;
        self.names += bytes;
        ensure!(
            self.entries <= MOST_MEMBERS && self.names <= MOST_MEMBER_NAMES,
            Failure::new(format_args!(
                "{} files with names of {} bytes: the most is {MOST_MEMBERS}, and {MOST_MEMBER_NAMES} bytes",
                self.entries, self.names
            ))
            .hint("this is no archive of images; `import` takes root file systems")
        );
        Ok(())
    }

    /// Adds a file.
    ///
    /// # Errors
    /// A file of this name has other content: some programs take the first, some the
    /// last.
    fn add(&mut self, name: String, extent: Extent) -> Result<()> {
        if let Some(earlier) = self.members.get(&name) {
            // Files that are not links have no more bytes together than the archive.
            self.compared = self.compared.saturating_add(extent.length);
            let is_same = earlier.offset == extent.offset
                || self.compared <= self.size
                    && is_same(self.archive, *earlier, extent)
                        .context("read the archive")?;
            ensure!(
                is_same,
                Failure::new(format_args!(
                    "{}: it is in the archive twice",
                    shown(name.as_bytes())
                ))
                .hint("programs do not agree which of the two counts")
            );
        }
        self.members.insert(name, extent);
        Ok(())
    }
}

/// Compares the content of two files.
fn is_same(archive: &File, one: Extent, other: Extent) -> io::Result<bool> {
    if one.length != other.length {
        return Ok(false);
    }
    let (mut first, mut second) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut at = 0;
    while at < one.length && one.offset != other.offset {
        let count = usize::try_from(one.length - at).unwrap_or(BLOCK).min(BLOCK);
        archive.read_exact_at(&mut first[..count], one.offset + at)?;
        archive.read_exact_at(&mut second[..count], other.offset + at)?;
        if first[..count] != second[..count] {
            return Ok(false);
        }
        at += count as u64;
    }
    Ok(true)
}

/// Returns the name that a link leads to. The target of a symbolic link is relative to
/// the link's directory, and that of a hard link to the top of the archive.
fn resolve_link(name: &str, target: &str, is_hard: bool) -> String {
    let above = name.rsplit_once('/').map_or("", |(above, _)| above);
    let start = if is_hard { "" } else { above };
    let mut parts: Vec<&str> =
        start.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbolic_link_is_relative_to_its_directory_and_a_hard_link_to_the_top() {
        for (target, soft, hard) in [
            ("../c/layer.tar", "a/c/layer.tar", "c/layer.tar"),
            ("./x", "a/b/x", "x"),
            ("/x//y", "a/b/x/y", "x/y"),
            ("../../../../x", "x", "x"),
        ] {
            assert_eq!(resolve_link("a/b/layer.tar", target, false), soft, "{target}");
            assert_eq!(resolve_link("a/b/layer.tar", target, true), hard, "{target}");
        }
        assert_eq!(resolve_link("layer.tar", "x", false), "x");
    }
}
