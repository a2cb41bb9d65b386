//! A layer on its way into the store. Its archive is read once, and meanwhile kept as it
//! is, decompressed, unpacked, and hashed with and without compression.

use std::io::{self, Read};
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result};
use indicatif::MultiProgress;
use oci_spec::image::Descriptor;
use rustix::fs::Mode;
use tempfile::NamedTempFile;

use crate::compression::decompress;
use crate::digest::{Digest, Hashing};
use crate::progress::layer_bar;
use crate::read_ahead::ReadAhead;
use crate::store::{Store, Temporary, open_directory};
use crate::unpack::{Budget, Unpacked, unpack};

/// A layer that is to be added to the store.
pub(crate) struct IncomingLayer<'a> {
    /// Its name in errors and on the progress bar.
    pub(crate) name: String,
    /// Bytes of the archive, where that is known.
    pub(crate) size: Option<u64>,
    /// The digest of the archive, where that is known.
    pub(crate) digest: Option<Digest>,
    /// The digest of the archive without compression, where that is known.
    pub(crate) diff_id: Option<Digest>,
    /// Opens the archive.
    pub(crate) open:
        Box<dyn Fn() -> Result<Box<dyn Read + Send + 'a>> + Send + Sync + 'a>,
}

/// A layer that is unpacked, and still in a temporary directory.
#[derive(Debug)]
pub(crate) struct ReceivedLayer {
    pub(crate) archive: NamedTempFile,
    /// The digest of the archive.
    pub(crate) digest: Digest,
    pub(crate) diff_id: Digest,
    /// The archive as a manifest lists it.
    pub(crate) descriptor: Descriptor,
    pub(crate) unpacked: Unpacked,
    temporary: Temporary,
}

impl ReceivedLayer {
    /// Returns the directory with its files.
    pub(crate) fn tree(&self) -> PathBuf {
        self.temporary.path().join(TREE)
    }

    /// Returns the path of its record, until the record is moved into the store.
    pub(crate) fn record(&self) -> PathBuf {
        self.temporary.path().join("record")
    }
}

/// The name of the directory with a layer's files, in its temporary directory.
const TREE: &str = "tree";

// ANCHOR: receive
/// Receives a layer into a temporary directory, by one pass over its archive.
// Task 7.1: the archive is kept as it is read, decompressed in a thread, and unpacked.
pub(crate) fn receive(
    store: &Store,
    layer: &IncomingLayer<'_>,
    budget: &Budget,
    bars: &MultiProgress,
) -> Result<ReceivedLayer> {
    let temporary = store.temporary()?;
    let blob =
        NamedTempFile::new_in(temporary.path()).context("make a file in the store")?;
    let mut blob = Hashing::new(blob);
    let tree = temporary.path().join(TREE);
    std::fs::create_dir(&tree).with_context(|| format!("mkdir({})", tree.display()))?;
    let directory = open_directory(&tree)?;
    // The mode does not depend on the caller's umask. It stays if the archive does not
    // list its top.
    rustix::fs::fchmod(&directory, Mode::from(0o755)).context("fchmod(the layer)")?;
    let bar = layer_bar(bars, &layer.name, layer.size);

    // Task 7.1 begins.
    let (unpacked, diff_id, compression) = thread::scope(|scope| {
        let kept = Tee { input: bar.wrap_read((layer.open)()?), copy: &mut blob };
        let (compression, archive) = decompress(kept).context("read the archive")?;
        let mut content = Hashing::new(ReadAhead::start(scope, archive));
        let unpacked = unpack(&mut content, &directory, budget)?;
        let (diff_id, _, _) = content.finish();
        Ok::<_, anyhow::Error>((unpacked, diff_id, compression))
    })?;

    let (digest, size, archive) = blob.finish();
    verify("the layer's archive", &digest, layer.digest.as_ref())?;
    verify("the layer without compression", &diff_id, layer.diff_id.as_ref())?;
    let descriptor = digest.descriptor(compression.media_type(), size)?;
    Ok(ReceivedLayer { archive, digest, diff_id, descriptor, unpacked, temporary })
}
// ANCHOR_END: receive

/// Compares a digest with the expected one, if there is one.
fn verify(what: &str, digest: &Digest, expected: Option<&Digest>) -> Result<()> {
    expected.map_or(Ok(()), |expected| digest.verify(what, expected))
}

/// A reader that writes everything that it reads to a copy.
struct Tee<R, W> {
    input: R,
    copy: W,
}

impl<R: Read, W: io::Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.copy.write_all(&buffer[..count])?;
        Ok(count)
    }
}
