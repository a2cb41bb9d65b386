//! The note of a container, which other processes read: the blobs and layers that it uses,
//! and its run directory, which tells whether it is alive.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Failure, FailureKind, Hint, Liveness, Owner, ProcessIdentity};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::image::Image;
use crate::limits::LARGEST_DOCUMENT;
use crate::store::Store;

/// The note of a container: the content that must stay in the store while it is alive.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Note {
    /// The absolute path of its run directory. Older versions did not write it.
    run_dir: Option<PathBuf>,
    /// The process that holds the lock of the run directory.
    #[serde(default)]
    runtime: Option<ProcessIdentity>,
    image: String,
    pub(crate) blobs: Vec<Digest>,
    pub(crate) layers: Vec<Digest>,
    /// The paths at which the runtime mounts files of its own.
    #[serde(default)]
    pub(crate) mount_points: Vec<PathBuf>,
}

impl Note {
    pub(super) fn new(
        owner: Owner,
        image: &Image,
        mount_points: &[PathBuf],
    ) -> Result<Self> {
        Ok(Note {
            run_dir: Some(owner.run_dir),
            runtime: Some(owner.runtime),
            image: image.tagged.display_name(),
            blobs: image.blobs()?,
            layers: image.chain_ids()?,
            mount_points: mount_points.into(),
        })
    }
}

/// The name of the file that contains the [`Note`].
pub(super) const NOTE: &str = "container.json";

/// A container of the store.
#[derive(Debug)]
pub(crate) struct NotedContainer {
    pub(crate) path: PathBuf,
    /// None if the note is empty. It was complete when the directory got its name, so
    /// the system has crashed before the content was on the disk, and no container
    /// survives that.
    pub(crate) note: Option<Note>,
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
        match read_note(&path) {
            // It was removed meanwhile.
            Err(_) if matches!(path.try_exists(), Ok(false)) => {}
            note => {
                let note = note.hint(format_args!(
                    "nothing is removed, since it may be in use; if no container runs, remove {}",
                    path.display()
                ))?;
                containers.push(NotedContainer { path, note });
            }
        }
    }
    Ok(containers)
}

fn read_note(container: &Path) -> Result<Option<Note>> {
    let file = container.join(NOTE);
    let read = || format!("read {}", file.display());
    let text = kit::read_document(&file, LARGEST_DOCUMENT).with_context(read)?;
    if text.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    serde_json::from_slice(&text).with_context(read)
}

/// Refuses to replace a layer that a container uses: its files would disappear from the
/// container.
pub(crate) fn refuse_if_used(store: &Store, layer: &Digest) -> Result<()> {
    let uses = |it: &NotedContainer| {
        it.note.as_ref().is_some_and(|note| note.layers.contains(layer))
    };
    let Some(container) = all(store)?.into_iter().find(uses) else { return Ok(()) };
    let (id, layer) = (container.id(), &layer.hex()[..12]);
    Err(Failure::new(format_args!(
        "layer {layer} is damaged, and container {id} uses it"
    ))
    .with_kind(FailureKind::Conflict)
    .hint("once the container has ended, `gc` removes it: then load the image again")
    .into())
}

/// Returns the containers that are not alive any more. If it cannot be told whether a
/// container is alive, it is kept, with a warning.
pub(crate) fn gone(store: &Store) -> Result<Vec<NotedContainer>> {
    let mut gone = Vec::new();
    for container in all(store)? {
        match container.liveness() {
            Ok(Liveness::Alive) => {}
            Ok(Liveness::Gone) => gone.push(container),
            Err(error) => {
                kit::warn_error(
                    format!("container {} is kept", container.id()),
                    &error,
                );
            }
        }
    }
    Ok(gone)
}

impl NotedContainer {
    pub(crate) fn id(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn liveness(&self) -> Result<Liveness> {
        let Some(note) = &self.note else { return Ok(Liveness::Gone) };
        let run_dir = note.run_dir.as_ref().ok_or_else(|| {
            Failure::new(format_args!(
                "{} does not name its run directory",
                self.path.join(NOTE).display()
            ))
            .hint(format_args!(
                "an older version has written it: if the container does not run any more, remove {}",
                self.path.display()
            ))
        })?;
        kit::liveness(run_dir, note.runtime.as_ref())
    }
}
