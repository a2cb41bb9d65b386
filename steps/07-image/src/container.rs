//! The directory of a container in the store: its upper directory, and a note of the
//! layers and blobs that it uses.

mod noted;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Hint, RunDir, interrupt};
use nix::errno::Errno;

use crate::image::Image;
use crate::overlay;
use crate::store::{NOT_WRITABLE, Store, hint_if_disk_is_full};
use noted::{NOTE, Note};

pub(crate) use noted::{NotedContainer, all, gone, refuse_if_used};

/// The directory of a container that we run, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Container {
    store: Store,
    path: PathBuf,
    mount_points: Vec<PathBuf>,
}

impl Container {
    /// Makes the directory of a new container. The caller holds the lock of its run
    /// directory. The runtime will make `mount_points` in it, where they are missing.
    ///
    /// It is made below `tmp` and then renamed, so that every container's directory has a
    /// complete note.
    pub(crate) fn create(
        store: &Store,
        run_dir: &RunDir,
        image: &Image,
        mount_points: Vec<PathBuf>,
    ) -> Result<Self> {
        let id = run_dir.path().file_name().unwrap_or_default();
        let path = store.containers().join(id);
        let layers = image.chain_ids()?;
        let top = layers.last().with_context(|| {
            format!("image {} has no layer", image.tagged.display_name())
        })?;
        let temporary = hint_if_disk_is_full(store.temporary())
            .hint_on(Errno::EROFS, NOT_WRITABLE)
            .hint_on(Errno::EACCES, NOT_WRITABLE)?;
        overlay::make_upper(temporary.path(), &store.layer(top), store.helpers())?;
        let note =
            serde_json::to_vec(&Note::new(run_dir.owner()?, image, &mount_points)?)?;
        fs::write(temporary.path().join(NOTE), note)
            .with_context(|| format!("write({NOTE})"))?;
        temporary.rename_to(&path)?;
        Ok(Container { store: store.clone(), path, mount_points })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the paths at which the runtime mounts files of its own.
    pub(crate) fn mount_points(&self) -> &[PathBuf] {
        &self.mount_points
    }

    /// Returns the directory with the files that the container has written.
    pub(crate) fn upper(&self) -> PathBuf {
        self.path.join(overlay::UPPER)
    }

    /// Removes the directory.
    pub(crate) fn remove(self) -> Result<()> {
        let removed = interrupt::patiently(|| remove(&self.store, &self.path));
        std::mem::forget(self);
        removed
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Only after an error, which is reported already. `gc` removes what this
        // cannot.
        let _ = interrupt::patiently(|| remove(&self.store, &self.path));
    }
}

/// Removes the directory of a container. Files that belong to subordinate ids can be
/// removed only by root of a user namespace.
///
/// # Errors
/// When a signal has come, unless the caller is patient, or a file cannot be removed. The
/// rest is below `tmp`, as other stale files are.
pub(crate) fn remove(store: &Store, path: &Path) -> Result<()> {
    store.discard(path).or_else(|_| store.as_root(|| store.discard(path)))
}
