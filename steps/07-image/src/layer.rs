//! Layers on their way into the store: read once, and on the way hashed twice, kept as
//! they are, decompressed and unpacked.

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

use crate::ahead::Ahead;
use crate::compression::{Compression, decompress};
use crate::digest::{Digest, Hashing, chain_id};
use crate::progress::Progress;
use crate::store::{Store, Temporary, WholeBlob, open_directory};
use crate::unpack::{Budget, LeftOut, Unpacked, copy_attributes, open_beneath, unpack};

/// A layer that is to come in.
pub(crate) struct Incoming<'a> {
    /// As errors and the progress bar call it.
    pub(crate) name: String,
    /// Bytes of the archive, where that is known.
    pub(crate) size: Option<u64>,
    /// What the archive must be, where that is known.
    pub(crate) digest: Option<Digest>,
    /// What it must be without compression.
    pub(crate) diff_id: Option<Digest>,
    pub(crate) open:
        Box<dyn Fn() -> Result<Box<dyn Read + Send + 'a>> + Send + Sync + 'a>,
}

/// A layer that has come in, and is still in a directory of its own.
#[derive(Debug)]
struct Arrived {
    blob: WholeBlob,
    diff_id: Digest,
    media_type: MediaType,
    unpacked: Unpacked,
    place: Temporary,
}

/// A layer that is in the store.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) digest: Digest,
    pub(crate) diff_id: Digest,
    /// Bytes of its archive.
    pub(crate) size: u64,
    pub(crate) media_type: MediaType,
}

/// Layers that are in the store, the lowest first.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    pub(crate) kept: Vec<Kept>,
    /// Bytes of all files.
    pub(crate) bytes: u64,
    pub(crate) left_out: LeftOut,
}

/// Takes in layers on top of those that are there (by their chain ids), the lowest
/// first: several at once, as many as there are processors.
pub(crate) fn take_in(
    store: &Store,
    below: &[Digest],
    incoming: &[Incoming<'_>],
) -> Result<Layers> {
    let progress = Progress::new();
    let arrived = arrive_all(store, incoming, &progress);
    progress.finish();
    settle(store, below, arrived?.into_iter().collect::<Result<_>>()?)
}

fn arrive_all(
    store: &Store,
    incoming: &[Incoming<'_>],
    progress: &Progress,
) -> Result<Vec<Result<Arrived>>> {
    let budget = Budget::of(store.room()?);
    let next = AtomicUsize::new(0);
    let arrived = Mutex::new(Vec::new());
    let work = || {
        while let Some((at, layer)) = take_next(&next, incoming) {
            let result = arrive(store, layer, &budget, progress)
                .with_context(|| layer.name.clone());
            // After a failure the rest need not come.
            if result.is_err() {
                next.store(incoming.len(), Ordering::Relaxed);
            }
            let result = result.map_err(where_it_is_full);
            arrived.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
    };
    let workers = thread::available_parallelism()
        .map_or(1, |count| count.get())
        .min(incoming.len());
    thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let mut arrived = arrived.into_inner().unwrap_or_else(PoisonError::into_inner);
    arrived.sort_by_key(|(at, _)| *at);
    Ok(arrived.into_iter().map(|(_, result)| result).collect())
}

fn take_next<'a, T>(next: &AtomicUsize, all: &'a [T]) -> Option<(usize, &'a T)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    all.get(at).map(|it| (at, it))
}

/// Says what to do about a full disk.
fn where_it_is_full(error: anyhow::Error) -> anyhow::Error {
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

// ANCHOR: arrive
/// One pass over a layer's archive.
// Task 7.1: what is read is kept, and then decompressed; ahead of who unpacks it.
fn arrive(
    store: &Store,
    layer: &Incoming<'_>,
    budget: &Budget,
    progress: &Progress,
) -> Result<Arrived> {
    let place = store.temporary()?;
    let mut blob = store.new_blob(place.path())?;
    let tree = place.path().join("tree");
    std::fs::create_dir(&tree).with_context(|| format!("mkdir({})", tree.display()))?;
    let directory = open_directory(&tree)?;
    // As it is where the archive says nothing of it, whatever the caller's umask.
    rustix::fs::fchmod(&directory, Mode::from(0o755)).context("fchmod(the layer)")?;
    let bar = progress.layer(&layer.name, layer.size);

    let (unpacked, diff_id, compression) = thread::scope(|scope| {
        let kept = Tee { input: bar.wrap((layer.open)()?), copy: &mut blob };
        let (compression, archive) = decompress(kept).context("read the archive")?;
        let (ahead, _thread) = Ahead::read(scope, archive);
        let mut content = Hashing::new(ahead);
        let unpacked = unpack(&mut content, &directory, budget)?;
        let (diff_id, _, _) = content.finish();
        Ok::<_, anyhow::Error>((unpacked, diff_id, compression))
    })?;

    let blob = blob.finish();
    layer
        .digest
        .map_or(Ok(()), |wanted| blob.digest.expect("the layer's archive", &wanted))?;
    layer.diff_id.map_or(Ok(()), |wanted| {
        diff_id.expect("the layer without compression", &wanted)
    })?;
    let media_type = match compression {
        Compression::None => MediaType::ImageLayer,
        Compression::Gzip => MediaType::ImageLayerGzip,
        Compression::Zstd => MediaType::ImageLayerZstd,
    };
    Ok(Arrived { blob, diff_id, media_type, unpacked, place })
}
// ANCHOR_END: arrive

/// What is read is written elsewhere, too.
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

/// Gives layers that have arrived their places in the store, the lowest first.
fn settle(store: &Store, below: &[Digest], arrived: Vec<Arrived>) -> Result<Layers> {
    let mut chain = below.to_vec();
    let mut layers = Layers::default();
    for Arrived { blob, diff_id, media_type, unpacked, place } in arrived {
        let tree = place.path().join("tree");
        let below: Vec<_> = chain.iter().map(|id| store.layer(id)).collect();
        complete(&tree, &unpacked, &below)?;
        let id = chain_id(chain.last(), &diff_id);
        let path = store.layer(&id);
        kit::call("whole, or not at all", "rename", path.display(), || {
            match std::fs::rename(&tree, &path) {
                // Another process was faster: it is the same.
                Err(_) if path.is_dir() => Ok(()),
                done => done,
            }
        })?;
        chain.push(id);
        layers.bytes += unpacked.bytes;
        layers.left_out.join(unpacked.left_out);
        layers.kept.push(Kept {
            digest: blob.digest,
            diff_id,
            size: blob.size,
            media_type,
        });
        store.keep_blob(blob)?;
    }
    Ok(layers)
}

/// Directories that an archive does not list are as the layer below has them that has
/// them.
fn complete(tree: &Path, unpacked: &Unpacked, below: &[PathBuf]) -> Result<()> {
    let tree = open_directory(tree)?;
    for implied in &unpacked.implied {
        for layer in below.iter().rev() {
            match open_beneath(&open_directory(layer)?, implied) {
                Ok(like) => {
                    let directory = open_beneath(&tree, implied)
                        .context("open(a directory of the layer)")?;
                    copy_attributes(&like, &directory)?;
                    break;
                }
                Err(Errno::NOENT) => {}
                Err(_) => break, // it is something else there, or gone: this one is new
            }
        }
    }
    Ok(())
}

/// The most layers that overlayfs takes: OVL_MAX_STACK of fs/overlayfs/params.h.
const MOST_LAYERS: usize = 500;

/// All layers must be there, or none.
pub(crate) fn same_number(layers: usize, diff_ids: usize) -> Result<()> {
    if layers > MOST_LAYERS {
        return Err(Failure::new(format_args!(
            "{layers} layers: the most is {MOST_LAYERS}"
        ))
        .into());
    }
    if layers == diff_ids {
        return Ok(());
    }
    let text =
        format!("its manifest has {layers} layers, and its configuration {diff_ids}");
    Err(Failure::new(text).into())
}
