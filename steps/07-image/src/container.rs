//! The directory of a container in the store: its upper directory, and a note of what it
//! uses of the store.

mod noted;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Failure, Hint};
use nix::errno::Errno;

use crate::image::Image;
use crate::overlay::{self, Overlay};
use crate::store::Store;
use noted::{NOTE, Note};

pub(crate) use noted::{all, gone};

/// The directory of a container that we run, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Container {
    store: Store,
    path: PathBuf,
}

impl Container {
    /// Makes the directory of a new container, whose run directory is locked.
    ///
    /// The directory is made below `tmp` and then renamed, so that every directory of a
    /// container has a complete note.
    pub(crate) fn create(store: &Store, run_dir: &Path, image: &Image) -> Result<Self> {
        let run_dir = run_dir
            .canonicalize()
            .with_context(|| format!("the run directory {}", run_dir.display()))?;
        let path = store.containers().join(run_dir.file_name().unwrap_or_default());
        let layers = image.chain()?;
        let top = layers.last().with_context(|| {
            format!("image {} has no layer", image.tagged.display_name())
        })?;
        let temporary = store
            .temporary()
            .hint_on(Errno::EROFS, "the store is read-only: --store names another")
            .hint_on(
                Errno::EACCES,
                "the store cannot be written: --store names another",
            )
            .hint_on(
                Errno::ENOSPC,
                "the store's disk is full: `rmi` and `gc` make room",
            )?;
        overlay::make_upper(temporary.path(), &store.layer(top))?;
        let note = serde_json::to_vec(&Note::new(run_dir, image)?)?;
        fs::write(temporary.path().join(NOTE), note)
            .with_context(|| format!("write({NOTE})"))?;
        temporary.rename_to(&path)?;
        Ok(Container { store: store.clone(), path })
    }

    /// Returns the overlay of an image with this container's upper directory.
    pub(crate) fn overlay(&self, image: &Image) -> Result<Overlay> {
        let layers = image.chain()?;
        for layer in &layers {
            if !self.store.layer(layer).is_dir() {
                let failure = Failure::new(format_args!(
                    "image {}: its layer {layer} is not in the store",
                    image.tagged.display_name()
                ));
                return Err(failure.hint("`load` it again").into());
            }
        }
        let layers =
            layers.iter().map(|layer| Path::new("layers").join(layer.hex())).collect();
        Ok(Overlay {
            base: self.store.path().into(),
            layers,
            upper: Some(Path::new("containers").join(self.name())),
        })
    }

    /// Returns the directory that has the files that the container has written.
    pub(crate) fn upper(&self) -> PathBuf {
        self.path.join(overlay::UPPER)
    }

    /// Removes the directory.
    pub(crate) fn remove(self) -> Result<()> {
        let removed = remove(&self.store, self.name());
        std::mem::forget(self);
        removed
    }

    fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // After an error, which is reported already. `gc` finds the rest.
        let _ = self.store.discard(&self.path);
    }
}

/// Removes the directory of a container. Files of lent ids can be removed only as root
/// of a user namespace.
pub(crate) fn remove(store: &Store, name: &OsStr) -> Result<()> {
    let path = store.containers().join(name);
    store.discard(&path).or_else(|_| user::as_root(|| store.discard(&path)))
}
