//! `export`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::archive_file::write_archive;
use crate::args::StoreArgs;
use crate::image::Image;
use crate::overlay::Overlay;
use crate::pack::{PackAs, pack};
use crate::reference::ImageName;
use crate::store::{Store, open_directory};

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
    image: ImageName,
}

impl Export {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        let _shared = store.lock_shared()?;
        let image = Image::find(&store, &self.image)?;
        // The mount of the layers changes the working directory.
        let output = self.output.as_ref().map(std::path::absolute).transpose();
        let output = output.context("the output's path")?;
        user::in_mount_namespace(store.helpers(), || {
            let merged = mount_layers(&store, &image)?;
            write_archive(output.as_deref(), |output| {
                pack(&merged, PackAs::RootFs, &BTreeSet::new(), u64::MAX, output)
                    .map(drop)
            })
        })
    }
}

/// Mounts the layers of an image read-only, one over the other, and returns the path at
/// which their files are.
fn mount_layers(store: &Store, image: &Image) -> Result<PathBuf> {
    let overlay = Overlay::new(store, image, None)?;
    // Without an upper directory, overlayfs refuses a single layer.
    if let [only] = overlay.visible().as_slice() {
        return Ok(store.path().join(only));
    }
    let overlay = overlay.mount()?;
    // Every store has this directory. The mount hides the layers in it, which the
    // overlay keeps open.
    let mount_point = store.path().join("layers");
    overlay.attach(&open_directory(&mount_point)?, mount_point.display())?;
    Ok(mount_point)
}
