//! The files of a source, by their names: those of a directory, or of an archive, which
//! is read where it lies.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use kit::{Failure, Hint};
use nix::errno::Errno;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use crate::archive::{ArchiveReader, EntryKind};
use crate::compression::decompress;
use crate::store::{LARGEST_DOCUMENT, Store, Temporary, open_directory};

/// The most files that an archive of images may have.
const MOST_MEMBERS: usize = 10_000;

/// The most that all documents of a source may have together, in bytes.
const MOST_DOCUMENTS: u64 = 64 << 20;

/// The files of a source.
pub(crate) struct Members {
    name: String,
    files: Files,
    /// Bytes of all documents that have been read: they are held in memory.
    documents: AtomicU64,
    _spool: Option<Temporary>,
}

enum Files {
    Directory(OwnedFd),
    /// Where in the archive each one lies, and how long it is.
    Archive(Arc<File>, HashMap<String, (u64, u64)>),
}

impl Members {
    /// Opens a file or a directory; `-` is the standard input.
    pub(crate) fn open_source(path: &Path, store: &Store) -> Result<Self> {
        let name = path.display().to_string();
        if path.is_dir() {
            return Ok(Members {
                name,
                files: Files::Directory(open_directory(path)?),
                documents: AtomicU64::new(0),
                _spool: None,
            });
        }
        let input = open_input(path)?;
        let (file, spool) = seekable(input, store).with_context(|| name.clone())?;
        let members = list(&file).with_context(|| name.clone())?;
        Ok(Members {
            name,
            files: Files::Archive(Arc::new(file), members),
            documents: AtomicU64::new(0),
            _spool: spool,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn has(&self, member: &str) -> bool {
        self.size(member).is_ok()
    }

    /// How long a file is, in bytes.
    pub(crate) fn size(&self, member: &str) -> Result<u64> {
        match &self.files {
            Files::Directory(_) => {
                Ok(self.regular(member)?.metadata().context("fstat")?.len())
            }
            Files::Archive(_, members) => Ok(self.lies_at(members, member)?.1),
        }
    }

    /// Opens a file, to be read from its beginning.
    pub(crate) fn open(&self, member: &str) -> Result<Section> {
        match &self.files {
            Files::Directory(_) => {
                let file = self.regular(member)?;
                let length = file.metadata().context("fstat")?.len();
                Ok(Section { file: Arc::new(file), at: 0, end: length })
            }
            Files::Archive(file, members) => {
                let (offset, length) = self.lies_at(members, member)?;
                Ok(Section { file: file.clone(), at: offset, end: offset + length })
            }
        }
    }

    /// Reads a document whole.
    pub(crate) fn document(&self, member: &str) -> Result<Vec<u8>> {
        let size = self.size(member)?;
        if size > LARGEST_DOCUMENT {
            let text =
                format!("{}: {member} has {size} bytes: the most is 4 MiB", self.name);
            return Err(Failure::new(text).into());
        }
        if self.documents.fetch_add(size, Ordering::Relaxed) + size > MOST_DOCUMENTS {
            let text =
                format!("{}: its documents are more than 64 MiB together", self.name);
            return Err(Failure::new(text).into());
        }
        let mut bytes = Vec::new();
        self.open(member)?
            .read_to_end(&mut bytes)
            .with_context(|| format!("read {member}"))?;
        Ok(bytes)
    }

    /// A file of a directory: a regular one, inside of it.
    fn regular(&self, member: &str) -> Result<File> {
        let Files::Directory(top) = &self.files else {
            return Err(self.missing(member));
        };
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        // NONBLOCK: to open a FIFO does not wait until somebody writes into it
        // (fifo(7)).
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat2(top, member, flags, Mode::empty(), how) {
            Err(rustix::io::Errno::NOENT) => return Err(self.missing(member)),
            file => {
                File::from(file.with_context(|| format!("{}: {member}", self.name))?)
            }
        };
        match file.metadata().context("fstat")?.is_file() {
            true => Ok(file),
            false => {
                Err(Failure::new(format_args!("{}: {member} is no file", self.name))
                    .into())
            }
        }
    }

    fn lies_at(
        &self,
        members: &HashMap<String, (u64, u64)>,
        member: &str,
    ) -> Result<(u64, u64)> {
        members.get(member).copied().ok_or_else(|| self.missing(member))
    }

    fn missing(&self, member: &str) -> anyhow::Error {
        Failure::new(format_args!("{}: there is no {member} in it", self.name)).into()
    }
}

/// Opens what is to be read; `-` is the standard input.
pub(crate) fn open_input(path: &Path) -> Result<File> {
    if path.as_os_str() == "-" {
        let input = std::os::fd::AsFd::as_fd(&io::stdin())
            .try_clone_to_owned()
            .context("dup(0)")?;
        if io::IsTerminal::is_terminal(&input) {
            return Err(Failure::new("-: the standard input is a terminal")
                .hint("name a file, or use < or |")
                .into());
        }
        return Ok(File::from(input));
    }
    kit::call("the archive to read", "open", path.display(), || File::open(path))
        .hint_on(Errno::ENOENT, "name an archive that is there")
}

/// An archive that can be read at any place: itself, or what comes out of a pipe or of
/// compression.
fn seekable(mut input: File, store: &Store) -> Result<(File, Option<Temporary>)> {
    let is_file = input.metadata().context("fstat")?.is_file();
    let mut beginning = [0; 4];
    if is_file {
        let count = input.read_at(&mut beginning, 0).context("read the archive")?;
        if crate::compression::Compression::recognise(&beginning[..count])
            == crate::compression::Compression::None
        {
            input.seek(SeekFrom::Start(0)).context("lseek")?;
            return Ok((input, None));
        }
    }
    let place = store.temporary()?;
    let mut file =
        tempfile::tempfile_in(place.path()).context("make a file in the store")?;
    let (_, mut content) = decompress(&mut input).context("read the archive")?;
    let room = store.room()?.bytes;
    let copied = io::copy(&mut content.by_ref().take(room), &mut file)
        .context("copy the archive into the store")?;
    if copied == room {
        let failure =
            Failure::new("the archive is larger than what is free in the store");
        return Err(failure.hint("make room, or choose another --store").into());
    }
    drop(content);
    file.flush().context("write")?;
    file.seek(SeekFrom::Start(0)).context("lseek")?;
    Ok((file, Some(place)))
}

/// Where the files of an archive lie. A link stands for the file that it names: `docker
/// save` once wrote layers that two images share so.
fn list(file: &File) -> Result<HashMap<String, (u64, u64)>> {
    let mut archive = ArchiveReader::new(file);
    let (mut members, mut links) = (HashMap::new(), Vec::new());
    while let Some(entry) = archive.next()? {
        if members.len() + links.len() >= MOST_MEMBERS {
            return Err(Failure::new(
                "it has more than 10,000 files: this is no archive of images",
            )
            .into());
        }
        let Ok(name) = str::from_utf8(&entry.path) else { continue };
        let name = name.trim_start_matches("./").to_string();
        match &entry.kind {
            EntryKind::File if entry.segments.is_none() => {
                members.insert(name, (archive.position()?, entry.size));
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
        if let Some(place) = members.get(&target).copied() {
            members.insert(name, place);
        }
    }
    Ok(members)
}

/// What a link in an archive names: relative to where it lies, or for a hard link to
/// the top.
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

/// A part of a file.
#[derive(Debug)]
pub(crate) struct Section {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most =
            buffer.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        if count == 0 && most > 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file became shorter",
            ));
        }
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_from_where_it_lies_and_a_hard_one_from_the_top() {
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
