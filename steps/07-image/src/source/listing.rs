//! Lists the files of an archive, without reading their content.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};
use kit::Failure;

use crate::archive::{ArchiveReader, EntryKind, shown};

/// The most files that an archive of images may have.
const MOST_MEMBERS: usize = 10_000;

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
    let (mut members, mut links) = (HashMap::new(), Vec::new());
    while let Some(entry) = archive.next()? {
        ensure!(
            members.len() + links.len() < MOST_MEMBERS,
            Failure::new("more than 10,000 files: this is no archive of images")
        );
        let Ok(name) = str::from_utf8(&entry.path) else { continue };
        let name = strip_top(name).to_string();
        match &entry.kind {
            EntryKind::File if entry.segments.is_none() => {
                let extent = Extent { offset: archive.position()?, length: entry.size };
                add(file, &mut members, name, extent)?;
            }
            EntryKind::SymbolicLink(target) | EntryKind::HardLink(target) => {
                let is_hard = matches!(entry.kind, EntryKind::HardLink(_));
                links.extend(str::from_utf8(target).ok().map(|target| {
                    (name.clone(), resolve_link(&name, target, is_hard))
                }));
            }
            _ => {}
        }
        archive.seek_over_data()?;
    }
    for (name, target) in links {
        if let Some(extent) = members.get(&target).copied() {
            add(file, &mut members, name, extent)?;
        }
    }
    Ok(members)
}

/// Returns a name without the `./` and `/` at its beginning.
fn strip_top(mut name: &str) -> &str {
    while let Some(rest) = name.strip_prefix("./").or_else(|| name.strip_prefix('/')) {
        name = rest;
    }
    name
}

/// Adds a file.
///
/// # Errors
/// A file of this name has other content: some programs take the first, some the last.
fn add(
    archive: &File,
    members: &mut HashMap<String, Extent>,
    name: String,
    extent: Extent,
) -> Result<()> {
    if let Some(earlier) = members.get(&name) {
        ensure!(
            is_same(archive, *earlier, extent).context("read the archive")?,
            Failure::new(format_args!(
                "{}: it is in the archive twice",
                shown(name.as_bytes())
            ))
            .hint("programs do not agree which of the two counts")
        );
    }
    members.insert(name, extent);
    Ok(())
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
