//! `diff`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use kit::{Failure, FailureKind};

use crate::args::StoreArgs;
use crate::changes::{Change, changes};
use crate::container;
use crate::image::Image;
use crate::overlay::UPPER;
use crate::reference::ImageName;
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

/// A directory with changes, and the layers below it, the lowest first.
struct Changed {
    upper: PathBuf,
    layers: Vec<PathBuf>,
}

impl Diff {
    pub(super) fn run(&self) -> Result<()> {
        let store = Store::open(&self.store.path()?)?;
        let _shared = store.lock_shared()?;
        let Changed { upper, layers } = match self.container(&store)? {
            Some(changed) => changed,
            None => highest_layer(&store, &Image::find(&store, &self.of)?)?,
        };
        user::as_root(|| {
            kit::print(changes(&upper, &layers)?.iter().map(line).collect::<String>())
        })
    }

    /// Finds the container whose id begins with these digits, if there is one.
    fn container(&self, store: &Store) -> Result<Option<Changed>> {
        let ImageName::Digits(digits) = &self.of else { return Ok(None) };
        let mut found = container::all(store)?;
        found.retain(|container| container.id.starts_with(digits.as_str()));
        match found.as_slice() {
            [] => Ok(None),
            [container] => Ok(Some(Changed {
                upper: container.path.join(UPPER),
                layers: container.layers.iter().map(|it| store.layer(it)).collect(),
            })),
            _ => Err(Failure::new(format_args!(
                "container {digits}: several container ids begin with these digits"
            ))
            .kind(FailureKind::Usage)
            .hint("give more of its digits")
            .into()),
        }
    }
}

fn highest_layer(store: &Store, image: &Image) -> Result<Changed> {
    let mut layers: Vec<PathBuf> =
        image.chain()?.iter().map(|layer| store.layer(layer)).collect();
    let upper = layers.pop().with_context(|| {
        format!("image {} has no layer", image.tagged.display_name())
    })?;
    Ok(Changed { upper, layers })
}

fn line(change: &Change) -> String {
    let (letter, path) = match change {
        Change::Added(path) => ('A', path),
        Change::Changed(path) => ('C', path),
        Change::Deleted(path) => ('D', path),
    };
    format!("{letter} {}\n", kit::readable(&path.display().to_string()))
}
