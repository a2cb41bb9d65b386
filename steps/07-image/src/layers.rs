//! The layers of an image on their way into the store. Several are received at once, and
//! then all are moved into the store in their order.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use indicatif::MultiProgress;
use kit::Failure;
use oci_spec::image::Descriptor;
use rustix::io::Errno;

use crate::digest::{Digest, chain_id};
use crate::layer::{IncomingLayer, ReceivedLayer, receive};
use crate::progress;
use crate::store::{DISK_FULL, Store, open_directory};
use crate::unpack::{Budget, LeftOut, reconcile};

/// Layers that have been added to the store.
#[derive(Debug, Default)]
pub(crate) struct StoredLayers {
    /// The archives as a manifest lists them, the lowest first.
    pub(crate) descriptors: Vec<Descriptor>,
    pub(crate) diff_ids: Vec<Digest>,
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
    let bars = progress::bars();
    let received = receive_all(store, incoming, &bars);
    let _ = bars.clear(); // a terminal that is gone is no reason to fail
    move_into_store(store, below, received?)
}

fn receive_all(
    store: &Store,
    incoming: &[IncomingLayer<'_>],
    bars: &MultiProgress,
) -> Result<Vec<ReceivedLayer>> {
    let budget = Budget::new(store.free_space()?);
    let next = AtomicUsize::new(0);
    let received = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(layer) = incoming.get(index) else { return };
            let result = receive(store, layer, &budget, bars)
                .with_context(|| layer.name.clone());
            // After an error nobody needs the other layers.
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
        true => Failure::of(&error).hint(DISK_FULL).into(),
        false => error,
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
    for layer in received {
        let tree = layer.tree();
        let below: Vec<_> = chain.iter().map(|id| store.layer(id)).collect();
        reconcile(&open_directory(&tree)?, &layer.unpacked, &below)?;
        let id = chain_id(chain.last(), &layer.diff_id);
        let path = store.layer(&id);
        kit::call("whole, or not at all", "rename", path.display(), || {
            match std::fs::rename(&tree, &path) {
                // Another process has added the same layer meanwhile.
                Err(_) if path.is_dir() => Ok(()),
                done => done,
            }
        })?;
        chain.push(id);
        stored.bytes += layer.unpacked.bytes;
        stored.left_out.merge(layer.unpacked.left_out);
        stored.diff_ids.push(layer.diff_id);
        stored.descriptors.push(layer.descriptor);
        store.keep_blob(&layer.digest, layer.archive)?;
    }
    Ok(stored)
}
