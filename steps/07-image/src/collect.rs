//! Removing what nothing uses: containers that are gone, and the blobs and layers of no
//! image and no container.

use std::collections::HashSet;
use std::fs;

use anyhow::{Context, Result};

use crate::container;
use crate::digest::Digest;
use crate::image::Image;
use crate::store::Store;

/// Removes what nothing uses, while no other process adds or starts anything.
pub(crate) fn collect(store: &Store) -> Result<()> {
    let _exclusive = store.lock_exclusive()?;
    remove_gone(store)?;
    let (mut blobs, mut layers) = (HashSet::new(), HashSet::new());
    for tagged in store.index()?.images() {
        // An image that cannot be read ends it here: nobody knows what it uses.
        let image = Image::read(store, tagged.clone())?;
        blobs.extend(image.blobs()?);
        layers.extend(image.chain()?);
    }
    for container in container::all(store)? {
        blobs.extend(container.blobs);
        layers.extend(container.layers);
    }
    remove_others(store, "blobs/sha256", &blobs)?;
    remove_others(store, "layers", &layers)?;
    store.remove_stale()
}

/// Removes what killed runs and loads have left, and nothing that is still in use.
pub(crate) fn remove_stale(store: &Store) -> Result<()> {
    remove_gone(store)?;
    store.remove_stale().or_else(|_| user::as_root(|| store.remove_stale()))
}

fn remove_gone(store: &Store) -> Result<()> {
    container::gone(store)?
        .iter()
        .try_for_each(|id| container::remove(store, id.as_ref()))
}

/// Removes the entries of a directory of the store that are none of these.
fn remove_others(store: &Store, name: &str, used: &HashSet<Digest>) -> Result<()> {
    let directory = store.path().join(name);
    let read = || format!("read {}", directory.display());
    for entry in fs::read_dir(&directory).with_context(read)? {
        let entry = entry.with_context(read)?;
        let digest =
            format!("sha256:{}", entry.file_name().display()).parse::<Digest>();
        if !digest.is_ok_and(|digest| used.contains(&digest)) {
            store.discard(&entry.path())?;
        }
    }
    Ok(())
}
