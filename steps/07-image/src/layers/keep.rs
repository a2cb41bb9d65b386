//! Moves received layers to their places in the store, once they are on the disk.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::StoredLayers;
use crate::container;
use crate::digest::{Digest, chain_id};
use crate::fingerprint::{Depth, fingerprint};
use crate::layer::ReceivedLayer;
use crate::store::{LayerRecord, Store, open_directory};
use crate::unpack::reconcile;

/// A layer of an image that is being added.
pub(crate) enum NewLayer {
    /// The store has it already, complete: its diff id, and its record.
    Complete(Digest, LayerRecord),
    Received(Box<ReceivedLayer>),
}

/// Moves layers from their temporary directories into the store, the lowest first, once
/// all of them are on the disk.
pub(super) fn move_into_store(
    store: &Store,
    below: &[Digest],
    layers: Vec<NewLayer>,
) -> Result<StoredLayers> {
    let mut chain = below.to_vec();
    let mut trees: Vec<_> = chain.iter().map(|id| store.layer(id)).collect();
    let mut stored = StoredLayers::default();
    let mut received = Vec::new();
    for layer in layers {
        let (diff_id, record) = match layer {
            NewLayer::Complete(diff_id, record) => (diff_id, record),
            NewLayer::Received(mut layer) => {
                let tree = layer.tree();
                reconcile(&open_directory(&tree)?, &layer.unpacked, &trees)?;
                let record = write_record(&layer)?;
                stored.left_out.merge(std::mem::take(&mut layer.unpacked.left_out));
                trees.push(tree);
                let (diff_id, id) =
                    (layer.diff_id, chain_id(chain.last(), &layer.diff_id));
                received.push((id, layer));
                (diff_id, record)
            }
        };
        chain.push(chain_id(chain.last(), &diff_id));
        if trees.len() < chain.len() {
            trees.extend(chain.last().map(|id| store.layer(id)));
        }
        stored.bytes += record.bytes;
        stored.diff_ids.push(diff_id);
        stored.descriptors.push(record.archive);
    }
    if received.is_empty() {
        return Ok(stored);
    }
    store.flush()?;
    for (id, layer) in received {
        move_layer(store, &id, *layer)?;
    }
    store.flush_names("layers")?;
    Ok(stored)
}

/// Writes the record of a layer beside its tree.
fn write_record(layer: &ReceivedLayer) -> Result<LayerRecord> {
    let record = LayerRecord {
        archive: layer.descriptor.clone(),
        bytes: layer.unpacked.bytes,
        tree: fingerprint(&layer.tree(), Depth::Metadata)?,
    };
    std::fs::write(layer.record(), serde_json::to_vec(&record)?)
        .context("write the layer's record")?;
    Ok(record)
}

/// Moves a layer whose files are on the disk to its place in the store.
fn move_layer(store: &Store, id: &Digest, layer: ReceivedLayer) -> Result<()> {
    let (tree, path) = (layer.tree(), store.layer(id));
    kit::call("whole, or not at all", "rename", path.display(), || {
        match std::fs::rename(&tree, &path) {
            // The layer in the store is damaged, or was added meanwhile.
            Err(_) if path.is_dir() => Ok(()),
            done => done,
        }
    })?;
    if tree.exists() && !is_same(&tree, &path) {
        container::refuse_if_used(store, id)?;
        // The damaged layer takes the place of the new one, and is removed with it.
        kit::call("in place of a damaged layer", "renameat2", path.display(), || {
            renameat_with(CWD, &tree, CWD, &path, RenameFlags::EXCHANGE)
        })?;
    }
    store.add_record(id, &layer.record())?;
    store.add_blob(&layer.digest, layer.archive)
}

/// Tells whether the last layer of this chain is in the store with the same content as
/// the received one.
pub(crate) fn has_same_content(
    store: &Store,
    received: &ReceivedLayer,
    chain: &[Digest],
) -> Result<bool> {
    let mut trees: Vec<_> = chain.iter().map(|id| store.layer(id)).collect();
    let Some(path) = trees.pop() else { return Ok(false) };
    let tree = open_directory(&received.tree())?;
    reconcile(&tree, &received.unpacked, &trees)?;
    Ok(is_same(&received.tree(), &path))
}

/// Tells whether two layers have the same content. A layer that cannot be read has not.
fn is_same(one: &Path, other: &Path) -> bool {
    let content = |tree| fingerprint(tree, Depth::Content).ok();
    content(one).is_some_and(|one| content(other) == Some(one))
}
