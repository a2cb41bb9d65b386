//! Blobs: files whose name is the digest of their content.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};

use super::Store;
use crate::digest::{Digest, Hashing};

/// The largest manifest, configuration or index that is read, in bytes. Registries
/// accept 4 MiB.
pub(crate) const LARGEST_DOCUMENT: u64 = 4 << 20;

/// A blob that is being written. Its digest is known at the end.
#[derive(Debug)]
pub(crate) struct NewBlob {
    file: Hashing<tempfile::NamedTempFile>,
}

/// A complete blob, which [`Store::keep_blob`] moves to the others.
#[derive(Debug)]
pub(crate) struct WholeBlob {
    file: tempfile::NamedTempFile,
    pub(crate) digest: Digest,
    /// Bytes.
    pub(crate) size: u64,
}

impl NewBlob {
    pub(crate) fn finish(self) -> WholeBlob {
        let (digest, size, file) = self.file.finish();
        WholeBlob { file, digest, size }
    }
}

impl Store {
    /// Begins a blob, in a directory that is on the store's file system.
    pub(crate) fn new_blob(&self, directory: &Path) -> Result<NewBlob> {
        let file = tempfile::NamedTempFile::new_in(directory)
            .context("make a file in the store")?;
        Ok(NewBlob { file: Hashing::new(file) })
    }

    /// Moves a blob to the others, unless the store has it already.
    pub(crate) fn keep_blob(&self, blob: WholeBlob) -> Result<()> {
        let path = self.blob(&blob.digest);
        if path.exists() {
            return Ok(());
        }
        let kept = blob.file.persist(&path).map_err(|error| error.error);
        kept.with_context(|| format!("rename({})", path.display())).map(drop)
    }

    /// Adds a document, and returns its digest.
    pub(crate) fn add_document(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        let path = self.blob(&digest);
        let _names = self.lock_names()?;
        if !path.exists() {
            self.write_document(&path, bytes)?;
        }
        Ok(digest)
    }

    /// Reads a document, and verifies its digest.
    pub(crate) fn document(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.blob(digest);
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            File::open(&path)?.take(LARGEST_DOCUMENT + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().with_context(|| format!("read {}", path.display()))?;
        Digest::of(&bytes).verify(&path.display().to_string(), digest)?;
        Ok(bytes)
    }

    /// Returns the size of a blob, in bytes.
    pub(crate) fn size_of(&self, digest: &Digest) -> Result<u64> {
        let path = self.blob(digest);
        Ok(fs::metadata(&path)
            .with_context(|| format!("stat({})", path.display()))?
            .len())
    }
}

impl Write for NewBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
