//! `inspect`.

use anyhow::Result;
use serde_json::{Value, json};

use super::output::print_json;
use crate::args::StoreArgs;
use crate::image::Image;
use crate::reference::ImageName;

/// Options of `inspect`.
#[derive(clap::Args)]
pub struct Inspect {
    #[command(flatten)]
    store: StoreArgs,
    /// The image
    #[arg(value_name = "NAME[:TAG]")]
    image: ImageName,
}

impl Inspect {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        let _shared = store.lock_shared()?;
        let image = Image::find(&store, &self.image)?;
        let index = store.index()?;
        let same_id = index.images().iter().filter(|it| it.id == image.tagged.id);
        let names = same_id.filter_map(|it| Some(it.reference.as_ref()?.to_string()));
        let path = |layer| store.layer(layer).display().to_string();
        let unpacked: Vec<String> = image.chain_ids()?.iter().map(path).collect();
        print_json(&json!({
            "id": image.tagged.id,
            "digest": image.tagged.manifest,
            "names": names.collect::<Vec<_>>(),
            "size": image.tagged.size,
            "manifest": image.manifest,
            "configuration": serde_json::from_slice::<Value>(&image.configuration_bytes)?,
            "unpacked": unpacked,
        }))
    }
}
