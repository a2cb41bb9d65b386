//! `save`.

use std::path::PathBuf;

use anyhow::Result;

use super::archive_file::write_archive;
use crate::args::StoreArgs;
use crate::reference::ImageName;
use crate::save::save;

/// Options of `save`.
#[derive(clap::Args)]
pub struct Save {
    #[command(flatten)]
    store: StoreArgs,
    /// Write to this file instead of the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The images
    #[arg(value_name = "NAME[:TAG]", required = true)]
    images: Vec<ImageName>,
}

impl Save {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        write_archive(self.output.as_deref(), |output| {
            save(&store, &self.images, output)
        })
    }
}
