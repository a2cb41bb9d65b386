//! `diff`.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::args::StoreArgs;
use crate::changes::{Change, changes};
use crate::container::{self, NotedContainer};
use crate::image::Image;
use crate::overlay::UPPER;
use crate::reference::{ImageName, ambiguous_id};
use crate::store::Store;

/// Options of `diff`.
#[derive(clap::Args)]
pub struct Diff {
    #[command(flatten)]
    store: StoreArgs,
    /// A container by its id, or an image
    #[arg(value_name = "ID|NAME[:TAG]")]
    of: ImageName,
}

/// A directory with changes, the layers below it, the lowest first, and the paths at
/// which the runtime mounts files of its own.
type UpperAndLower = (PathBuf, Vec<PathBuf>, Vec<PathBuf>);

impl Diff {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        let _shared = store.lock_shared()?;
        let (upper, layers, mount_points) = match self.container(&store)? {
            Some(directories) => directories,
            None => highest_layer(&store, &Image::find(&store, &self.of)?)?,
        };
        store.as_root(|| {
            let changes = changes(&upper, &layers, &mount_points)?;
            kit::print(changes.iter().map(line).collect::<String>())
        })
    }

    /// Finds the container whose id begins with these digits, if there is one.
    fn container(&self, store: &Store) -> Result<Option<UpperAndLower>> {
        let ImageName::Digits(digits) = &self.of else { return Ok(None) };
        let mut found = container::all(store)?;
        found.retain(|container| container.id().starts_with(digits.as_str()));
        ensure!(found.len() <= 1, ambiguous_id("container", digits));
        let Some(NotedContainer { path, note }) = found.pop() else { return Ok(None) };
        let note = note.unwrap_or_default();
        let layers = note.layers.iter().map(|layer| store.layer(layer)).collect();
        Ok(Some((path.join(UPPER), layers, note.mount_points)))
    }
}

fn highest_layer(store: &Store, image: &Image) -> Result<UpperAndLower> {
    let mut layers: Vec<PathBuf> =
        image.chain_ids()?.iter().map(|layer| store.layer(layer)).collect();
    let upper = layers.pop().with_context(|| {
        format!("image {} has no layer", image.tagged.display_name())
    })?;
    Ok((upper, layers, Vec::new()))
}

fn line(change: &Change) -> String {
    let (letter, path) = match change {
        Change::Added(path) => ('A', path),
        Change::Changed(path) => ('C', path),
        Change::Deleted(path) => ('D', path),
    };
    format!(
        "{letter} {}\n",
        kit::escape_control_characters(&path.display().to_string())
    )
}
