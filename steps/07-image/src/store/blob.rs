//! Blobs: files whose name is the digest of their content.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use super::Store;
use crate::digest::Digest;
use crate::limits::LARGEST_DOCUMENT;

impl Store {
    /// Moves a complete blob, whose digest was verified, to its place. A blob that is
    /// already at that place is replaced, since it may be damaged. The file is on the
    /// store's file system.
    pub(crate) fn add_blob(&self, digest: &Digest, file: NamedTempFile) -> Result<()> {
        let path = self.blob(digest);
        self.discard_directory(&path)?;
        let kept = file.persist(&path).map_err(|error| error.error);
        kept.with_context(|| format!("rename({})", path.display())).map(drop)
    }

    /// Removes a directory in the place of a blob: rename(2) does not replace it.
    fn discard_directory(&self, path: &Path) -> Result<()> {
        let is_directory = path.symlink_metadata().is_ok_and(|found| found.is_dir());
        if is_directory { self.discard(path) } else { Ok(()) }
    }

    /// Adds a document, and returns its digest.
    pub(crate) fn add_document(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        let path = self.blob(&digest);
        let _names = self.lock_names()?;
        // A document that is already in the store may be damaged.
        if !self.document(&digest).is_ok_and(|found| found == bytes) {
            self.discard_directory(&path)?;
            self.write_document(&path, bytes)?;
        }
        Ok(digest)
    }

    /// Reads a document, and verifies its digest.
    pub(crate) fn document(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.blob(digest);
        let bytes = kit::read_document(&path, LARGEST_DOCUMENT)
            .with_context(|| format!("read {}", path.display()))?;
        Digest::of(&bytes).verify(&path.display().to_string(), digest)?;
        Ok(bytes)
    }

    /// Returns the size of a blob, in bytes.
    pub(crate) fn size_of(&self, digest: &Digest) -> Result<u64> {
        let path = self.blob(digest);
        let found = fs::metadata(&path);
        Ok(found.with_context(|| format!("stat({})", path.display()))?.len())
    }
}
