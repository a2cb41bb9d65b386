//! The files of a source, in a directory or in an archive. An archive is not unpacked: its
//! files are read where they are in it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use kit::Failure;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat2, statat};
use serde::de::DeserializeOwned;

use super::input::{SeekableFile, make_seekable, open_input};
use super::listing::{Extent, list_files};
use crate::json::{self, Spelling};
use crate::limits::{LARGEST_DOCUMENT, MOST_DOCUMENT_BYTES, MOST_LISTED_LAYERS};
use crate::store::{Store, Temporary, open_directory};

/// The files of a source.
pub(crate) struct Members {
    name: String,
    files: MemberFiles,
    /// The size of all documents that have been read, which stay in memory; in bytes.
    documents: AtomicU64,
    /// The number of layers that its images list.
    layers: AtomicUsize,
    _copy: Option<Temporary>,
}

enum MemberFiles {
    Directory(OwnedFd),
    Archive { file: Arc<File>, extents: HashMap<String, Extent> },
}

impl Members {
    /// Opens a file or a directory; `-` is the standard input.
    pub(crate) fn open_source(path: &Path, store: &Store) -> Result<Self> {
        let name = path.display().to_string();
        let (files, copy) = if path.is_dir() {
            // It may be a link, as nix's `result` is.
            let path = path.canonicalize().with_context(|| name.clone())?;
            (MemberFiles::Directory(open_directory(&path)?), None)
        } else {
            let input = open_input(path)?;
            let SeekableFile { file, copy } =
                make_seekable(input, store).with_context(|| name.clone())?;
            let extents = list_files(&file).with_context(|| name.clone())?;
            (MemberFiles::Archive { file: Arc::new(file), extents }, copy)
        };
        let (documents, layers) = (AtomicU64::new(0), AtomicUsize::new(0));
        Ok(Members { name, files, documents, layers, _copy: copy })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn has(&self, member: &str) -> bool {
        self.open(member).is_ok()
    }

    /// Opens a file, to be read from its beginning.
    pub(crate) fn open(&self, member: &str) -> Result<Section> {
        match &self.files {
            MemberFiles::Directory(directory) => {
                let file = self.open_regular(directory, member)?;
                let length = file.metadata().context("fstat")?.len();
                Ok(Section { file: Arc::new(file), at: 0, end: length })
            }
            MemberFiles::Archive { file, extents } => {
                let Extent { offset, length } =
                    *extents.get(member).ok_or_else(|| self.missing(member))?;
                Ok(Section { file: file.clone(), at: offset, end: offset + length })
            }
        }
    }

    /// Counts a layer of an image.
    pub(super) fn count_layer(&self) -> Result<()> {
        let before = self.layers.fetch_add(1, Ordering::Relaxed);
        ensure!(
            before < MOST_LISTED_LAYERS,
            Failure::new(format_args!(
                "{}: its images list more than {MOST_LISTED_LAYERS} layers together",
                self.name
            ))
        );
        Ok(())
    }

    /// Reads a document.
    pub(crate) fn document(&self, member: &str) -> Result<Vec<u8>> {
        let mut section = self.open(member)?;
        let size = section.length();
        let failure = |why: String| Failure::new(format_args!("{}: {why}", self.name));
        ensure!(
            size <= LARGEST_DOCUMENT,
            failure(format!("{member} has {size} bytes: the most is 4 MiB"))
        );
        let before = self.documents.fetch_add(size, Ordering::Relaxed);
        ensure!(
            before + size <= MOST_DOCUMENT_BYTES,
            failure(format!(
                "its documents have {} bytes together: the most is 64 MiB",
                before + size
            ))
        );
        let mut bytes = Vec::new();
        section.read_to_end(&mut bytes).with_context(|| format!("read {member}"))?;
        Ok(bytes)
    }

    /// Reads and parses a document that is JSON.
    pub(super) fn json<T: DeserializeOwned>(&self, member: &str) -> Result<T> {
        let spelling = match member {
            "manifest.json" => Spelling::Capitalized,
            _ => Spelling::Lowercase,
        };
        let parsed = json::parse(&self.document(member)?, spelling);
        Ok(parsed.map_err(|error| {
            Failure::new(format_args!("{}: {member}: {error}", self.name))
        })?)
    }

    /// Opens a regular file of a directory. No link leads out of the directory.
    fn open_regular(&self, directory: &OwnedFd, member: &str) -> Result<File> {
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        // NONBLOCK: the open of a FIFO does not wait for a writer (fifo(7)).
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat2(directory, member, flags, Mode::empty(), how) {
            Err(rustix::io::Errno::NOENT) if is_link(directory, member) => {
                return Err(Failure::new(format_args!(
                    "{}: {member} is a link that leads out of it, or nowhere",
                    self.name
                ))
                .into());
            }
            Err(rustix::io::Errno::NOENT) => return Err(self.missing(member)),
            file => {
                File::from(file.with_context(|| format!("{}: {member}", self.name))?)
            }
        };
        ensure!(
            file.metadata().context("fstat")?.is_file(),
            Failure::new(format_args!("{}: {member} is no file", self.name))
        );
        Ok(file)
    }

    fn missing(&self, member: &str) -> anyhow::Error {
        Failure::new(format_args!("{}: there is no {member} in it", self.name)).into()
    }
}

/// Tells whether there is a symbolic link of this name.
fn is_link(directory: &OwnedFd, member: &str) -> bool {
    statat(directory, member, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink)
}

/// A part of a file, which is read from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Section {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Section {
    /// Returns how much is left to read, in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.end - self.at
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit =
            buffer.len().min(usize::try_from(self.length()).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..limit], self.at)?;
        if count == 0 && limit > 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file became shorter",
            ));
        }
        self.at += count as u64;
        Ok(count)
    }
}
