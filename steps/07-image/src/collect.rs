//! Removes containers that are gone, and then the blobs and layers that no image and no
//! container uses.

use std::collections::HashSet;
use std::fs;

use anyhow::{Context, Result};
use kit::interrupt;

use crate::container;
use crate::digest::Digest;
use crate::image::Image;
use crate::store::{Index, RECORDS, Store, TaggedImage};

/// Removes everything unused, while no other process adds images or starts containers.
pub(crate) fn collect_garbage(store: &Store) -> Result<()> {
    let _exclusive = store.lock_exclusive()?;
    remove_unlisted(store, &store.index()?)
}

/// Changes the list of images on a full disk: removes everything that the new list does
/// not use, before it is written, since there is room for it only then. Meanwhile no other
/// process reads the old list to use its images, or adds others. If the caller is killed
/// in between, the old list has images that are damaged.
pub(crate) fn collect_and_change<T>(
    store: &Store,
    change: impl FnOnce(&mut Index) -> T,
) -> Result<T> {
    let _exclusive = store.lock_exclusive()?;
    store.change_index(|index| {
        let outcome = change(index);
        store.as_root(|| remove_unlisted(store, index))?;
        Ok(outcome)
    })
}

/// Removes gone containers, and the blobs and layers that neither a container nor an
/// image of this list uses. The caller holds the exclusive lock.
fn remove_unlisted(store: &Store, index: &Index) -> Result<()> {
    remove_gone_containers(store)?;
    let (mut blobs, mut layers) = (HashSet::new(), HashSet::new());
    for tagged in index.images() {
        match used_by(store, tagged) {
            Ok((its_blobs, its_layers)) => {
                blobs.extend(its_blobs);
                layers.extend(its_layers);
            }
            Err(error) => {
                let what = "no blob and no layer is removed, since it is not known which of them this image uses";
                kit::warn_error(what, &error);
                return store.remove_stale();
            }
        }
    }
    for note in container::all(store)?.into_iter().filter_map(|it| it.note) {
        blobs.extend(note.blobs);
        layers.extend(note.layers);
    }
    remove_unused(store, "blobs/sha256", &blobs)?;
    remove_unused(store, "layers", &layers)?;
    remove_unused(store, RECORDS, &layers)?;
    store.remove_stale()
}

/// Returns the blobs and the layers of an image.
fn used_by(store: &Store, tagged: &TaggedImage) -> Result<(Vec<Digest>, Vec<Digest>)> {
    let image = Image::read(store, tagged.clone())?;
    Ok((image.blobs()?, image.chain_ids()?))
}

/// Removes the files that killed runs and loads have left, and none that is in use.
pub(crate) fn remove_stale(store: &Store) -> Result<()> {
    remove_gone_containers(store)?;
    store.remove_stale().or_else(|_| store.as_root(|| store.remove_stale()))
}

fn remove_gone_containers(store: &Store) -> Result<()> {
    let gone = container::gone(store)?;
    gone.iter().try_for_each(|container| {
        interrupt::check()?;
        container::remove(store, &container.path)
    })
}

/// Removes the entries of a directory of the store that are not used.
fn remove_unused(store: &Store, name: &str, used: &HashSet<Digest>) -> Result<()> {
    let directory = store.path().join(name);
    let read = || format!("read {}", directory.display());
    // A store of an older version has no directory for records.
    let Some(entries) = kit::if_exists(fs::read_dir(&directory)).with_context(read)?
    else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry.with_context(read)?;
        let digest =
            format!("sha256:{}", entry.file_name().display()).parse::<Digest>();
        if !digest.is_ok_and(|digest| used.contains(&digest)) {
            store.discard(&entry.path())?;
        }
    }
    Ok(())
}
