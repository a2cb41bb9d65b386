//! Layers on their way into the store. Each archive is read once: it is kept as it is,
//! decompressed, unpacked, and hashed with and without compression.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use kit::Failure;
use oci_spec::image::MediaType;
use rustix::fs::Mode;
use rustix::io::Errno;

use crate::compression::{Compression, decompress};
use crate::digest::{Digest, Hashing, chain_id};
use crate::progress::ProgressBars;
use crate::read_ahead::ReadAhead;
use crate::store::{Store, Temporary, WholeBlob, open_directory};
use crate::unpack::{Budget, LeftOut, Unpacked, copy_metadata, open_beneath, unpack};

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
struct ReceivedLayer {
    blob: WholeBlob,
    diff_id: Digest,
    media_type: MediaType,
    unpacked: Unpacked,
    temporary: Temporary,
}

/// A layer that is in the store.
#[derive(Debug)]
pub(crate) struct StoredLayer {
    pub(crate) digest: Digest,
    pub(crate) diff_id: Digest,
    /// Bytes of its archive.
    pub(crate) size: u64,
    pub(crate) media_type: MediaType,
}

/// Layers that have been added to the store, the lowest first.
#[derive(Debug, Default)]
pub(crate) struct StoredLayers {
    pub(crate) layers: Vec<StoredLayer>,
    /// Bytes of all files.
    pub(crate) bytes: u64,
    pub(crate) left_out: LeftOut,
}

/// Adds layers, the lowest first, on top of those with the chain ids `below`. As many are
/// received at once as there are processors.
pub(crate) fn add_layers(
    store: &Store,
    below: &[Digest],
    incoming: &[IncomingLayer<'_>],
) -> Result<StoredLayers> {
    let progress = ProgressBars::new();
    let received = receive_all(store, incoming, &progress);
    progress.finish();
    move_into_store(store, below, received?)
}

fn receive_all(
    store: &Store,
    incoming: &[IncomingLayer<'_>],
    progress: &ProgressBars,
) -> Result<Vec<ReceivedLayer>> {
    let budget = Budget::new(store.room()?);
    let next = AtomicUsize::new(0);
    let received = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(layer) = incoming.get(index) else { return };
            let result = receive(store, layer, &budget, progress)
                .with_context(|| layer.name.clone());
            // After an error the other layers are not needed.
            if result.is_err() {
                next.store(incoming.len(), Ordering::Relaxed);
            }
            let result = result.map_err(with_hint_if_disk_is_full);
            received
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(index, result);
        }
    };
    let workers = thread::available_parallelism()
        .map_or(1, |count| count.get())
        .min(incoming.len());
    thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    received
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .into_values()
        .collect()
}

/// Adds a hint to the error of a full disk.
fn with_hint_if_disk_is_full(error: anyhow::Error) -> anyhow::Error {
    let full = |cause: &(dyn std::error::Error + 'static)| {
        let number =
            cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        cause.downcast_ref() == Some(&Errno::NOSPC)
            || number == Some(Errno::NOSPC.raw_os_error())
    };
    match error.chain().any(full) {
        true => Failure::of(&error)
            .hint("the store's disk is full: `rmi` and `gc` make room, --store names another")
            .into(),
        false => error,
    }
}

// ANCHOR: receive
/// Reads a layer's archive, once.
// Task 7.1: the archive is kept as it is read, decompressed in a thread, and unpacked.
fn receive(
    store: &Store,
    layer: &IncomingLayer<'_>,
    budget: &Budget,
    progress: &ProgressBars,
) -> Result<ReceivedLayer> {
    let temporary = store.temporary()?;
    let mut blob = store.new_blob(temporary.path())?;
    let tree = temporary.path().join("tree");
    std::fs::create_dir(&tree).with_context(|| format!("mkdir({})", tree.display()))?;
    let directory = open_directory(&tree)?;
    // The mode where the archive does not list its top, whatever the caller's umask.
    rustix::fs::fchmod(&directory, Mode::from(0o755)).context("fchmod(the layer)")?;
    let bar = progress.add(&layer.name, layer.size);

    let (unpacked, diff_id, compression) = thread::scope(|scope| {
        let kept = Tee { input: bar.wrap((layer.open)()?), copy: &mut blob };
        let (compression, archive) = decompress(kept).context("read the archive")?;
        let (read_ahead, _thread) = ReadAhead::start(scope, archive);
        let mut content = Hashing::new(read_ahead);
        let unpacked = unpack(&mut content, &directory, budget)?;
        let (diff_id, _, _) = content.finish();
        Ok::<_, anyhow::Error>((unpacked, diff_id, compression))
    })?;

    let blob = blob.finish();
    if let Some(digest) = &layer.digest {
        blob.digest.verify("the layer's archive", digest)?;
    }
    if let Some(expected) = &layer.diff_id {
        diff_id.verify("the layer without compression", expected)?;
    }
    let media_type = match compression {
        Compression::None => MediaType::ImageLayer,
        Compression::Gzip => MediaType::ImageLayerGzip,
        Compression::Zstd => MediaType::ImageLayerZstd,
    };
    Ok(ReceivedLayer { blob, diff_id, media_type, unpacked, temporary })
}
// ANCHOR_END: receive

/// Reads, and writes what it reads to a copy.
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

/// Moves layers from their temporary directories into the store, the lowest first.
fn move_into_store(
    store: &Store,
    below: &[Digest],
    received: Vec<ReceivedLayer>,
) -> Result<StoredLayers> {
    let mut chain = below.to_vec();
    let mut stored = StoredLayers::default();
    for ReceivedLayer { blob, diff_id, media_type, unpacked, temporary } in received {
        let tree = temporary.path().join("tree");
        let below: Vec<_> = chain.iter().map(|id| store.layer(id)).collect();
        complete_implied(&tree, &unpacked, &below)?;
        let id = chain_id(chain.last(), &diff_id);
        let path = store.layer(&id);
        kit::call("whole, or not at all", "rename", path.display(), || {
            match std::fs::rename(&tree, &path) {
                // Another process has added the same layer meanwhile.
                Err(_) if path.is_dir() => Ok(()),
                done => done,
            }
        })?;
        chain.push(id);
        stored.bytes += unpacked.bytes;
        stored.left_out.merge(unpacked.left_out);
        let (digest, size) = (blob.digest, blob.size);
        store.keep_blob(blob)?;
        stored.layers.push(StoredLayer { digest, diff_id, size, media_type });
    }
    Ok(stored)
}

/// Completes the directories that the archive only implies: they take owner, mode, times
/// and attributes from the nearest lower layer that has them.
fn complete_implied(tree: &Path, unpacked: &Unpacked, below: &[PathBuf]) -> Result<()> {
    let tree = open_directory(tree)?;
    for implied in &unpacked.implied {
        for layer in below.iter().rev() {
            match open_beneath(&open_directory(layer)?, implied) {
                Ok(lower) => {
                    let directory = open_beneath(&tree, implied)
                        .context("open(a directory of the layer)")?;
                    copy_metadata(&lower, &directory)?;
                    break;
                }
                Err(Errno::NOENT) => {}
                // A file or a whiteout is there: this directory is a new one.
                Err(_) => break,
            }
        }
    }
    Ok(())
}
