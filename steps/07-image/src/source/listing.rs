//! Lists the files of an archive, without reading their content.

use std::collections::HashMap;
use std::fs::File;

use anyhow::{Result, ensure};
use kit::Failure;

use crate::archive::{ArchiveReader, EntryKind};

/// The most files that an archive of images may have.
const MOST_MEMBERS: usize = 10_000;

/// The place of a file's content in the archive, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Returns the places of an archive's files, by name. A link has the place of its target:
/// `docker save` once wrote the layers that several images share as links.
pub(super) fn list(file: &File) -> Result<HashMap<String, Extent>> {
    let mut archive = ArchiveReader::new(file);
    let (mut members, mut links) = (HashMap::new(), Vec::new());
    while let Some(entry) = archive.next()? {
        ensure!(
            members.len() + links.len() < MOST_MEMBERS,
            Failure::new("more than 10,000 files: this is no archive of images")
        );
        let Ok(name) = str::from_utf8(&entry.path) else { continue };
        let name = name.trim_start_matches("./").to_string();
        match &entry.kind {
            EntryKind::File if entry.segments.is_none() => {
                let extent = Extent { offset: archive.position()?, length: entry.size };
                members.insert(name, extent);
            }
            EntryKind::SymbolicLink(target) | EntryKind::HardLink(target) => {
                let is_hard = matches!(entry.kind, EntryKind::HardLink(_));
                links.extend(
                    str::from_utf8(target)
                        .ok()
                        .map(|target| (name.clone(), resolve(&name, target, is_hard))),
                );
            }
            _ => {}
        }
        archive.seek_over_data()?;
    }
    for (name, target) in links {
        if let Some(extent) = members.get(&target).copied() {
            members.insert(name, extent);
        }
    }
    Ok(members)
}

/// Returns the name that a link leads to. The target of a symbolic link is relative to
/// the link's directory, and that of a hard link to the top of the archive.
fn resolve(name: &str, target: &str, is_hard: bool) -> String {
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
            assert_eq!(resolve("a/b/layer.tar", target, false), soft, "{target}");
            assert_eq!(resolve("a/b/layer.tar", target, true), hard, "{target}");
        }
        assert_eq!(resolve("layer.tar", "x", false), "x");
    }
}
