//! Blobs: content that is called by its digest.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};

use super::Store;
use crate::digest::{Digest, Hashing};

/// The largest manifest, configuration or index that is read, in bytes: registries take
/// 4 MiB.
pub(crate) const LARGEST_DOCUMENT: u64 = 4 << 20;

/// A blob that is being written; its name is known at the end.
#[derive(Debug)]
pub(crate) struct NewBlob {
    file: Hashing<tempfile::NamedTempFile>,
}

/// A blob that is whole, and not among the others yet.
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
    /// Begins a blob.
    pub(crate) fn new_blob(&self, directory: &Path) -> Result<NewBlob> {
        let file = tempfile::NamedTempFile::new_in(directory)
            .context("make a file in the store")?;
        Ok(NewBlob { file: Hashing::new(file) })
    }

    /// Takes in a blob; who has the same already keeps that.
    pub(crate) fn keep_blob(&self, blob: WholeBlob) -> Result<()> {
        let path = self.blob(&blob.digest);
        if path.exists() {
            return Ok(());
        }
        let kept = blob.file.persist(&path).map_err(|error| error.error);
        kept.with_context(|| format!("rename({})", path.display())).map(drop)
    }

    /// Takes in a document.
    pub(crate) fn add_blob(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        let path = self.blob(&digest);
        if !path.exists() {
            self.write_whole(&path, bytes)?;
        }
        Ok(digest)
    }

    /// Reads a document, and holds it to its name.
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

    /// How large a blob is, in bytes.
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
