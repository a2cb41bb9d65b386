//! What nothing uses is removed: blobs and layers of no image and no container.

use std::collections::HashSet;
use std::fs;

use anyhow::{Context, Result};

use crate::container::{self, State};
use crate::digest::Digest;
use crate::image::Image;
use crate::store::{Files, Store, open_directory};
use crate::unpack;

/// Removes what nothing uses, while nobody adds or starts anything.
pub(crate) fn collect(store: &Store) -> Result<()> {
    let _alone = store.be_alone()?;
    container::remove_those(store, &[State::Dead, State::Unfinished])?;
    let (mut blobs, mut layers) = (HashSet::new(), HashSet::new());
    for tagged in store.index()?.images() {
        // Nothing is removed while an image cannot be read: what it uses is not known.
        blobs.extend([tagged.manifest, tagged.id]);
        let image = Image::of(store, tagged.clone())?;
        blobs.extend(image.blobs()?);
        layers.extend(image.chain()?);
    }
    for container in container::all(store)? {
        blobs.extend(container.blobs);
        layers.extend(container.layers);
    }
    remove_others(store, "blobs/sha256", &blobs)?;
    remove_others(store, "layers", &layers)?;
    let _names = store.lock_names()?;
    store.sweep(Files::All)
}

/// Removes what killed runs and loads have left. What is being made is left alone.
pub(crate) fn clean(store: &Store) -> Result<()> {
    let clean = || {
        container::remove_those(store, &[State::Dead])
            .and_then(|()| store.sweep(Files::Kept))
    };
    // Files of ids that are not ours can be removed only as root of a user namespace.
    clean().or_else(|_| user::as_root(clean))
}

/// Removes what is in a directory of the store, and is none of these.
fn remove_others(store: &Store, name: &str, used: &HashSet<Digest>) -> Result<()> {
    let path = store.path().join(name);
    let (directory, temporary) = (open_directory(&path)?, store.temporary()?);
    let aside = open_directory(temporary.path())?;
    for entry in
        fs::read_dir(&path).with_context(|| format!("read {}", path.display()))?
    {
        let name =
            entry.with_context(|| format!("read {}", path.display()))?.file_name();
        let digest = format!("sha256:{}", name.display()).parse::<Digest>();
        if digest.is_ok_and(|digest| used.contains(&digest)) {
            continue;
        }
        // Put aside first: a layer is there whole, or not at all.
        rustix::fs::renameat(&directory, &name, &aside, &name)
            .with_context(|| format!("rename({})", name.display()))?;
        unpack::remove(&aside, &name)?;
    }
    Ok(())
}
