//! The layers of an image on their way into the store. Several are received at once, and
//! then all are moved into the store in their order.

mod keep;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use indicatif::MultiProgress;
use oci_spec::image::Descriptor;

use crate::digest::{Digest, chain_id};
use crate::layer::{IncomingLayer, ReceivedLayer, receive};
use crate::progress;
use crate::store::{LayerRecord, Store, hint_if_disk_is_full};
use crate::unpack::{Budget, LeftOut};
use keep::{NewLayer, move_into_store};

pub(crate) use keep::has_same_content;

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
/// received at once as there are processors. A layer that the store has is not received
/// again, unless it is damaged.
pub(crate) fn add_layers(
    store: &Store,
    below: &[Digest],
    incoming: &[IncomingLayer<'_>],
) -> Result<StoredLayers> {
    keep_layers(store, below, receive_layers(store, below, incoming)?)
}

/// Receives layers into temporary directories, except those that the store has.
pub(crate) fn receive_layers(
    store: &Store,
    below: &[Digest],
    incoming: &[IncomingLayer<'_>],
) -> Result<Vec<NewLayer>> {
    let mut complete = find_complete(store, below, incoming);
    let missing = incoming.iter().zip(&complete).filter(|(_, found)| found.is_none());
    let missing: Vec<_> = missing.map(|(layer, _)| layer).collect();
    let bars = progress::bars();
    let received = receive_all(store, &missing, &bars);
    let _ = bars.clear(); // a terminal that is gone is no reason to fail
    let mut received = received?.into_iter();
    let layers = complete.iter_mut().filter_map(|found| match found.take() {
        Some((diff_id, record)) => Some(NewLayer::Complete(diff_id, record)),
        None => received.next().map(|layer| NewLayer::Received(Box::new(layer))),
    });
    Ok(layers.collect())
}

/// Moves received layers into the store. The caller holds its shared lock, so that no
/// other process removes them before an image lists them.
pub(crate) fn keep_layers(
    store: &Store,
    below: &[Digest],
    layers: Vec<NewLayer>,
) -> Result<StoredLayers> {
    hint_if_disk_is_full(move_into_store(store, below, layers))
}

/// Finds the layers that the store has already, with their diff ids.
fn find_complete(
    store: &Store,
    below: &[Digest],
    incoming: &[IncomingLayer<'_>],
) -> Vec<Option<(Digest, LayerRecord)>> {
    let mut chain: Vec<Digest> = below.to_vec();
    let mut found = Vec::new();
    for layer in incoming {
        let Some(diff_id) = layer.diff_id else { break };
        chain.push(chain_id(chain.last(), &diff_id));
        let record = chain.last().and_then(|id| store.complete_layer(id));
        // Another archive may have the same content.
        let is_same_archive = |record: &LayerRecord| {
            layer
                .digest
                .is_none_or(|wanted| record.digest().is_ok_and(|it| it == wanted))
        };
        found.push(record.filter(is_same_archive).map(|record| (diff_id, record)));
    }
    found.resize_with(incoming.len(), || None);
    found
}

fn receive_all(
    store: &Store,
    incoming: &[&IncomingLayer<'_>],
    bars: &MultiProgress,
) -> Result<Vec<ReceivedLayer>> {
    store.spread_layers()?;
    let budget = Budget::new(store.free_space()?);
    let next = AtomicUsize::new(0);
    let received = Mutex::new(BTreeMap::new());
    let receive_some = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(layer) = incoming.get(index) else { return };
            let result = receive(store, layer, &budget, bars)
                .with_context(|| layer.name.clone());
            // After an error nobody needs the other layers.
            if result.is_err() {
                next.store(incoming.len(), Ordering::Relaxed);
            }
            let result = hint_if_disk_is_full(result);
            received
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(index, result);
        }
    };
    let workers = thread::available_parallelism()
        .map_or(1, |count| count.get())
        .min(incoming.len());
    store.flush_meanwhile(|| {
        thread::scope(|scope| {
            (0..workers).for_each(|_| drop(scope.spawn(receive_some)));
        });
    })?;
    received
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .into_values()
        .collect()
}
