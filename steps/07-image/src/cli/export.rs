//! `export` and `diff`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use kit::Failure;

use crate::changes::{Change, changes};
use crate::container::{self, State};
use crate::image::Image;
use crate::overlay::{Overlay, UPPER};
use crate::pack::{PackAs, pack};
use crate::reference::Named;
use crate::store::{Store, StoreArgs};

/// Options of `export`.
#[derive(clap::Args)]
pub struct Export {
    #[command(flatten)]
    store: StoreArgs,
    /// Write to this file instead of the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The image
    #[arg(value_name = "NAME[:TAG]")]
    image: Named,
}

impl Export {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        let _shared = store.share()?;
        let image = Image::find(&store, &self.image)?;
        let output = self
            .output
            .clone()
            .map(std::path::absolute)
            .transpose()
            .context("the output's path")?;
        user::in_mount_namespace(|| {
            let merged = merged(&store, &image)?;
            super::output::write_to(output.as_deref(), |output| {
                pack(&merged, PackAs::RootFs, u64::MAX, output).map(drop)
            })
        })
    }
}

/// A directory that shows an image's whole file system.
fn merged(store: &Store, image: &Image) -> Result<PathBuf> {
    let layers = image
        .chain()?
        .iter()
        .map(|layer| PathBuf::from("layers").join(layer.hex()))
        .collect();
    let overlay = Overlay { base: store.path().into(), layers, upper: None };
    if let [only] = overlay.visible().as_slice() {
        return Ok(store.path().join(only)); // overlayfs wants two
    }
    let overlay = overlay.mount()?;
    // Where it is mounted, the layers themselves no longer need to be seen.
    let place = store.path().join("layers");
    let target = crate::store::open_directory(&place)?;
    overlay.attach(&target, place.display())?;
    Ok(place)
}

/// Options of `diff`.
#[derive(clap::Args)]
pub struct Diff {
    #[command(flatten)]
    store: StoreArgs,
    /// A running container by its id, or an image
    #[arg(value_name = "ID|NAME[:TAG]")]
    of: Named,
}

impl Diff {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        let _shared = store.share()?;
        let (upper, layers) = match self.container(&store)? {
            Some(found) => found,
            None => highest(&store, &Image::find(&store, &self.of)?)?,
        };
        user::as_root(|| {
            let lines: String = changes(&upper, &layers)?.iter().map(line).collect();
            super::output::print(&lines)
        })
    }

    /// What a running container has written, and the layers below.
    fn container(&self, store: &Store) -> Result<Option<(PathBuf, Vec<PathBuf>)>> {
        let Named::Digits(name) = &self.of else { return Ok(None) };
        let all = container::all(store)?;
        let mut found = all.iter().filter(|container| {
            container.state == State::Alive && container.id.starts_with(name)
        });
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(Failure::new(format_args!(
                "container {name}: several ids begin so"
            ))
            .into()),
            (Some(one), None) => {
                let layers =
                    one.layers.iter().map(|layer| store.layer(layer)).collect();
                Ok(Some((one.path.join(UPPER), layers)))
            }
            _ => Ok(None),
        }
    }
}

fn highest(store: &Store, image: &Image) -> Result<(PathBuf, Vec<PathBuf>)> {
    let mut layers: Vec<PathBuf> =
        image.chain()?.iter().map(|layer| store.layer(layer)).collect();
    let highest = layers
        .pop()
        .with_context(|| format!("image {} has no layer", image.called()))?;
    Ok((highest, layers))
}

fn line(change: &Change) -> String {
    let (letter, path) = match change {
        Change::Added(path) => ('A', path),
        Change::Changed(path) => ('C', path),
        Change::Deleted(path) => ('D', path),
    };
    format!("{letter} {}\n", kit::readable(&path.display().to_string()))
}
