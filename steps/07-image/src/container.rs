//! The directory of a container in the store: its upper directory, and a note of what it
//! uses of the store.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Failure, Hint, Liveness};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::image::Image;
use crate::overlay::{self, Overlay};
use crate::store::{Store, open_directory};

/// The note of a container: what must stay in the store while it lives.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// The absolute path of its run directory, which tells whether it lives. Versions
    /// before this one did not write it.
    run_dir: Option<PathBuf>,
    image: String,
    blobs: Vec<String>,
    layers: Vec<String>,
}

/// The name of the file that contains the [`Note`].
const NOTE: &str = "container.json";

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
        let text = |digests: &[Digest]| digests.iter().map(Digest::to_string).collect();
        let note = serde_json::to_vec(&Note {
            run_dir: Some(run_dir),
            image: image.tagged.display_name(),
            blobs: text(&image.blobs()?),
            layers: text(&layers),
        })?;
        kit::write_whole(&temporary.path().join(NOTE), &note, 0o600)
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
        let removed = remove(&self.store, &[self.name().to_owned()]);
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
        if let (Ok(temporary), Ok(parent)) =
            (self.store.temporary(), open_directory(&self.store.containers()))
        {
            let _ = temporary.remove(&parent, self.name());
        }
    }
}

/// Removes the directories of these containers. Files of lent ids can be removed only
/// as root of a user namespace.
pub(crate) fn remove(store: &Store, names: &[impl AsRef<OsStr>]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let (temporary, parent) =
        (store.temporary()?, open_directory(&store.containers())?);
    let remove =
        || names.iter().try_for_each(|name| temporary.remove(&parent, name.as_ref()));
    remove().or_else(|_| user::as_root(remove))
}

/// A container of the store, as its note describes it.
#[derive(Debug)]
pub(crate) struct NotedContainer {
    pub(crate) id: String,
    pub(crate) path: PathBuf,
    pub(crate) blobs: Vec<Digest>,
    pub(crate) layers: Vec<Digest>,
    run_dir: Option<PathBuf>,
}

/// Returns all containers of a store.
///
/// # Errors
/// When a note cannot be read: it is not known what that container uses.
pub(crate) fn all(store: &Store) -> Result<Vec<NotedContainer>> {
    let read = || "read the store's containers";
    let mut containers = Vec::new();
    for entry in fs::read_dir(store.containers()).with_context(read)? {
        let path = entry.with_context(read)?.path();
        match noted(&path) {
            // It was removed meanwhile.
            Err(_) if matches!(path.try_exists(), Ok(false)) => {}
            container => containers.push(container.hint(format_args!(
                "nothing is removed, since it may be in use; if no container runs, remove {}",
                path.display()
            ))?),
        }
    }
    Ok(containers)
}

fn noted(path: &Path) -> Result<NotedContainer> {
    let note = path.join(NOTE);
    let read =
        || -> io::Result<Note> { Ok(serde_json::from_slice(&fs::read(&note)?)?) };
    let note = read().with_context(|| format!("read {}", note.display()))?;
    let digests =
        |texts: &[String]| texts.iter().map(|text| text.parse()).collect::<Result<_>>();
    Ok(NotedContainer {
        id: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        path: path.into(),
        blobs: digests(&note.blobs)?,
        layers: digests(&note.layers)?,
        run_dir: note.run_dir,
    })
}

/// Returns the ids of the containers that do not live any more. A container of which
/// that cannot be told is kept, with a warning.
pub(crate) fn gone(store: &Store) -> Result<Vec<String>> {
    let mut gone = Vec::new();
    for container in all(store)? {
        match liveness(&container) {
            Ok(Liveness::Alive) => {}
            Ok(Liveness::Gone) => gone.push(container.id),
            Err(error) => kit::warn_error(
                format_args!("container {} is kept", container.id),
                &error,
            ),
        }
    }
    Ok(gone)
}

fn liveness(container: &NotedContainer) -> Result<Liveness> {
    match &container.run_dir {
        Some(run_dir) => kit::liveness(run_dir),
        None => Err(Failure::new(format_args!(
            "{}: it does not say where the run directory is",
            container.path.join(NOTE).display()
        ))
        .hint(format_args!(
            "an older version has written it: if the container does not run any more, remove {}",
            container.path.display()
        ))
        .into()),
    }
}
