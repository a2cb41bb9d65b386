//! Records of complete layers. The record of a layer gets its name once all files of
//! the layer are on the disk. It contains digests by which damage is found.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError::Timeout};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use oci_spec::image::Descriptor;
use serde::{Deserialize, Serialize};

use super::{Store, create_directory};
use crate::digest::Digest;
use crate::fingerprint::{Depth, fingerprint};
use crate::limits::LARGEST_DOCUMENT;

/// The directory of the records, in the store.
pub(crate) const RECORDS: &str = "complete";

/// How long the disk may rest while layers are received.
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);

/// The record of a complete layer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    /// Its archive as a manifest lists it.
    pub(crate) archive: Descriptor,
    /// Bytes of all its files.
    pub(crate) bytes: u64,
    /// The [`fingerprint`] of its tree, of the depth [`Depth::Metadata`].
    pub(crate) tree: Digest,
}

impl LayerRecord {
    /// Returns the digest of the layer's archive.
    pub(crate) fn digest(&self) -> Result<Digest> {
        self.archive.digest().as_ref().parse()
    }
}

impl Store {
    /// Returns the record of a layer that is complete: its archive is there, and its
    /// tree is as it was when it was unpacked. None if anything is missing.
    pub(crate) fn complete_layer(&self, chain_id: &Digest) -> Option<LayerRecord> {
        let text =
            kit::read_document(&self.record_path(chain_id), LARGEST_DOCUMENT).ok()?;
        let record: LayerRecord = serde_json::from_slice(&text).ok()?;
        let blob = self.blob(&record.digest().ok()?).symlink_metadata().ok()?;
        let has_blob = blob.is_file() && blob.len() == record.archive.size();
        let tree = || fingerprint(&self.layer(chain_id), Depth::Metadata);
        (has_blob && tree().is_ok_and(|tree| tree == record.tree)).then_some(record)
    }

    /// Moves the record of a layer to its place, after the layer's files are on the
    /// disk.
    pub(crate) fn add_record(&self, chain_id: &Digest, file: &Path) -> Result<()> {
        let path = self.record_path(chain_id);
        create_directory(&self.path().join(RECORDS))
            .and_then(|()| fs::rename(file, &path))
            .with_context(|| format!("rename({})", path.display()))
    }

    /// Removes the record of a damaged layer.
    pub(crate) fn remove_record(&self, chain_id: &Digest) -> Result<()> {
        let path = self.record_path(chain_id);
        let removed = kit::if_exists(fs::remove_file(&path));
        removed.map(drop).with_context(|| format!("unlink({})", path.display()))
    }

    /// Flushes the names in a directory of the store: fsync(2).
    pub(crate) fn flush_names(&self, directory: &str) -> Result<()> {
        let path = self.path().join(directory);
        fs::File::open(&path)
            .and_then(|directory| directory.sync_all())
            .with_context(|| format!("fsync({})", path.display()))
    }

    /// Flushes everything that was written to the store's file system. A file that is
    /// renamed afterwards has its whole content even after a power cut. Without this,
    /// the kernel may keep the new name and lose the content.
    pub(crate) fn flush(&self) -> Result<()> {
        let directory = super::open_directory(self.path())?;
        let why = "its content is on the disk before it gets its name";
        kit::call(why, "syncfs", self.path().display(), || {
            rustix::fs::syncfs(&directory).map_err(std::io::Error::from)
        })
    }

    /// Flushes the store's file system again and again while layers are received: the
    /// disk is busy meanwhile, and little is left for [`Store::flush`].
    pub(crate) fn flush_meanwhile(&self, receive: impl FnOnce()) -> Result<()> {
        let directory = super::open_directory(self.path())?;
        let (received, is_received) = mpsc::channel::<()>();
        // The kernel reports a failed write once, so it counts here as well.
        let mut flushed = Ok(());
        thread::scope(|scope| {
            scope.spawn(|| {
                let is_received = is_received;
                while flushed.is_ok()
                    && is_received.recv_timeout(FLUSH_INTERVAL) == Err(Timeout)
                {
                    flushed = rustix::fs::syncfs(&directory);
                }
            });
            receive();
            drop(received);
        });
        flushed.context("syncfs(the store)")
    }

    fn record_path(&self, chain_id: &Digest) -> PathBuf {
        self.path().join(RECORDS).join(chain_id.hex())
    }
}
