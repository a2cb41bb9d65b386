//! The note of a container, which other processes read: what it uses of the store, and
//! where its run directory says whether it lives.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Failure, Hint, Liveness};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::image::Image;
use crate::store::Store;

/// The note of a container: what must stay in the store while it lives.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    /// The absolute path of its run directory, which tells whether it lives. Versions
    /// before this one did not write it.
    run_dir: Option<PathBuf>,
    image: String,
    blobs: Vec<String>,
    layers: Vec<String>,
}

impl Note {
    pub(super) fn new(run_dir: PathBuf, image: &Image) -> Result<Self> {
        let text = |digests: &[Digest]| digests.iter().map(Digest::to_string).collect();
        Ok(Note {
            run_dir: Some(run_dir),
            image: image.tagged.display_name(),
            blobs: text(&image.blobs()?),
            layers: text(&image.chain()?),
        })
    }
}

/// The name of the file that contains the [`Note`].
pub(super) const NOTE: &str = "container.json";

/// A container of the store, as its note describes it.
#[derive(Debug)]
pub(crate) struct NotedContainer {
    pub(crate) id: String,
    pub(crate) path: PathBuf,
    pub(crate) blobs: Vec<Digest>,
    pub(crate) layers: Vec<Digest>,
    run_dir: NotedRunDir,
}

/// The run directory of a container, as its note names it.
#[derive(Debug)]
enum NotedRunDir {
    At(PathBuf),
    /// The note is of a version that did not write it.
    Missing,
    /// The note is empty. It was complete when the directory got its name, so the system
    /// has crashed since, before the content was on the disk. No container survives that.
    LostInCrash,
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
    let mut container = NotedContainer {
        id: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        path: path.into(),
        blobs: Vec::new(),
        layers: Vec::new(),
        run_dir: NotedRunDir::LostInCrash,
    };
    let file = path.join(NOTE);
    let read = || format!("read {}", file.display());
    let text = fs::read(&file).with_context(read)?;
    if text.iter().all(|byte| *byte == 0) {
        return Ok(container);
    }
    let note: Note = serde_json::from_slice(&text).with_context(read)?;
    let digests =
        |texts: &[String]| texts.iter().map(|text| text.parse()).collect::<Result<_>>();
    container.blobs = digests(&note.blobs)?;
    container.layers = digests(&note.layers)?;
    container.run_dir = note.run_dir.map_or(NotedRunDir::Missing, NotedRunDir::At);
    Ok(container)
}

/// Returns the ids of the containers that do not live any more. A container is kept,
/// with a warning, if it cannot be told whether it lives.
pub(crate) fn gone(store: &Store) -> Result<Vec<String>> {
    let mut gone = Vec::new();
    for container in all(store)? {
        match container.liveness() {
            Ok(Liveness::Alive) => {}
            Ok(Liveness::Gone) => gone.push(container.id),
            Err(error) => {
                let what = format!("container {} is kept", container.id);
                kit::warn_error(what, &error);
            }
        }
    }
    Ok(gone)
}

impl NotedContainer {
    fn liveness(&self) -> Result<Liveness> {
        match &self.run_dir {
            NotedRunDir::At(run_dir) => kit::liveness(run_dir),
            NotedRunDir::LostInCrash => Ok(Liveness::Gone),
            NotedRunDir::Missing => Err(Failure::new(format_args!(
                "{} does not name its run directory",
                self.path.join(NOTE).display()
            ))
            .hint(format_args!(
                "an older version has written it: if the container does not run any more, remove {}",
                self.path.display()
            ))
            .into()),
        }
    }
}
