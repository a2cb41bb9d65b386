//! The list of an archive's files, which is read without their content.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use kit::Failure;

use crate::archive::{Archive, Kind};

/// The most files that an archive of images may have.
const MOST_MEMBERS: usize = 10_000;

/// The place of a file's content in the archive, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Returns the places of an archive's files, by name. A link has the place of the file
/// that it names: `docker save` once wrote layers that two images share this way.
pub(super) fn list(file: &File) -> Result<HashMap<String, Extent>> {
    let mut archive = Archive::new(HeaderReader { file, at: 0 });
    let (mut members, mut links) = (HashMap::new(), Vec::new());
    while let Some(entry) = archive.next()? {
        if members.len() + links.len() >= MOST_MEMBERS {
            return Err(Failure::new(
                "more than 10,000 files: this is no archive of images",
            )
            .into());
        }
        let Ok(name) = str::from_utf8(&entry.path) else { continue };
        let name = name.trim_start_matches("./").to_string();
        match &entry.kind {
            Kind::File if entry.segments.is_none() => {
                let extent = Extent { offset: archive.position(), length: entry.size };
                members.insert(name, extent);
            }
            Kind::SymbolicLink(target) | Kind::HardLink(target) => {
                let is_hard = matches!(entry.kind, Kind::HardLink(_));
                links.extend(
                    str::from_utf8(target)
                        .ok()
                        .map(|target| (name.clone(), resolve(&name, target, is_hard))),
                );
            }
            _ => {}
        }
        archive.skip()?;
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

/// Reads the headers of an archive, and skips the content of its files.
struct HeaderReader<'a> {
    file: &'a File,
    at: u64,
}

impl Read for HeaderReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Archive<HeaderReader<'_>> {
    /// Returns where the content of the current entry begins.
    fn position(&self) -> u64 {
        self.input().at
    }

    /// Skips the content of the current entry.
    fn skip(&mut self) -> Result<()> {
        let rest = self.leave_data();
        let end = self.position().checked_add(rest).context("an entry is too long")?;
        let length = self.input().file.metadata().context("fstat")?.len();
        if end > length {
            return Err(Failure::new("the archive ends in the middle of an entry")
                .hint("get it again")
                .into());
        }
        self.input_mut().at = end;
        Ok(())
    }
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
