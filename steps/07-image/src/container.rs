//! What a container of an image has of its own while it runs: an upper directory, and a
//! lock that says that it lives.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Failure, Hint, Id};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::image::Image;
use crate::overlay::{self, Overlay};
use crate::store::{Store, open_directory};
use crate::unpack;

/// What is noted of it: what must stay in the store while it lives.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Note {
    image: String,
    blobs: Vec<String>,
    layers: Vec<String>,
}

/// A container's own directory. Dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Container {
    path: PathBuf,
    parent: PathBuf,
    lock: Option<File>,
}

/// The file that [`Note`] is in.
const NOTE: &str = "container.json";

impl Container {
    /// Makes the directory of a new container, under a lock.
    pub(crate) fn create(store: &Store, id: &Id, image: &Image) -> Result<Self> {
        let path = store.containers().join(id.as_str());
        kit::call("what it writes goes here", "mkdir", path.display(), || {
            fs::create_dir(&path)
        })
        .hint_on(Errno::EROFS, "the store is read-only: --store names another")
        .hint_on(Errno::EACCES, "the store cannot be written: --store names another")
        .hint_on(Errno::ENOSPC, "the store's disk is full: `rmi` and `gc` make room")?;
        let lock =
            File::open(&path).with_context(|| format!("open({})", path.display()))?;
        lock.lock().with_context(|| format!("flock({})", path.display()))?;
        let container =
            Container { path, parent: store.containers(), lock: Some(lock) };
        let hex = |digests: Vec<Digest>| {
            digests.iter().map(Digest::to_string).collect::<Vec<_>>()
        };
        let note = Note {
            image: image.called(),
            blobs: hex(image.blobs()?),
            layers: hex(image.chain()?),
        };
        let text = serde_json::to_vec(&note)?;
        fs::write(container.path.join(NOTE), text)
            .with_context(|| format!("write({NOTE})"))?;
        let chain = image.chain()?;
        let top = chain
            .last()
            .with_context(|| format!("image {} has no layer", image.called()))?;
        overlay::make_upper(&container.path, &store.layer(top))?;
        Ok(container)
    }

    /// The overlay of an image with this container's upper directory.
    pub(crate) fn overlay(&self, store: &Store, image: &Image) -> Result<Overlay> {
        let layers = image.chain()?;
        for layer in &layers {
            if !store.layer(layer).is_dir() {
                let failure = Failure::new(format_args!(
                    "image {}: its layer {layer} is not in the store",
                    image.called()
                ));
                return Err(failure.hint("`load` it again").into());
            }
        }
        let layers =
            layers.iter().map(|layer| Path::new("layers").join(layer.hex())).collect();
        let name = self.path.file_name().unwrap_or_default();
        Ok(Overlay {
            base: store.path().into(),
            layers,
            upper: Some(Path::new("containers").join(name)),
        })
    }

    /// Where what it writes goes.
    pub(crate) fn upper(&self) -> PathBuf {
        self.path.join(overlay::UPPER)
    }

    /// Removes it. Files of ids that are not ours can be removed only as root of a user
    /// namespace.
    pub(crate) fn remove(mut self) -> Result<()> {
        let (parent, name) =
            (self.parent.clone(), self.path.file_name().unwrap_or_default().to_owned());
        let remove = || unpack::remove(&open_directory(&parent)?, &name);
        let removed = remove().or_else(|_| user::as_root(remove));
        self.lock = None;
        std::mem::forget(self);
        removed
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // On the way out of an error that is already told; `gc` finds what is left.
        if let (Ok(parent), Some(name)) =
            (open_directory(&self.parent), self.path.file_name())
        {
            let _ = unpack::remove(&parent, name);
        }
    }
}

/// Whether a container lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Somebody holds its lock.
    Alive,
    /// It is being made, or its maker was killed then: its lock comes before its note.
    Unfinished,
    Dead,
}

/// A container that is there, as others see it.
pub(crate) struct Found {
    pub(crate) id: String,
    pub(crate) path: PathBuf,
    pub(crate) blobs: Vec<Digest>,
    pub(crate) layers: Vec<Digest>,
    pub(crate) state: State,
    _lock: Option<File>,
}

/// All containers of a store. Those that are dead are locked by whoever finds them.
pub(crate) fn all(store: &Store) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in
        fs::read_dir(store.containers()).context("read the store's containers")?
    {
        let entry = entry.context("read the store's containers")?;
        let Ok(file) = File::open(entry.path()) else { continue }; // gone by now
        let is_free = file.try_lock().is_ok();
        let note = fs::read(entry.path().join(NOTE))
            .ok()
            .and_then(|text| serde_json::from_slice::<Note>(&text).ok());
        let state = match (is_free, &note) {
            (false, _) => State::Alive,
            (true, None) => State::Unfinished,
            (true, Some(_)) => State::Dead,
        };
        let note = note.unwrap_or_default();
        let digests = |texts: &[String]| {
            texts.iter().filter_map(|text| text.parse().ok()).collect()
        };
        found.push(Found {
            id: entry.file_name().to_string_lossy().into_owned(),
            path: entry.path(),
            blobs: digests(&note.blobs),
            layers: digests(&note.layers),
            state,
            _lock: (state == State::Dead).then_some(file),
        });
    }
    Ok(found)
}

/// Removes what containers in one of these states have written.
pub(crate) fn remove_those(store: &Store, states: &[State]) -> Result<()> {
    let parent = open_directory(&store.containers())?;
    for dead in all(store)?.iter().filter(|container| states.contains(&container.state))
    {
        unpack::remove(&parent, dead.id.as_ref())?;
    }
    Ok(())
}
