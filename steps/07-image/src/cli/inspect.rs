//! `inspect`.

use anyhow::Result;
use serde_json::{Value, json};

use crate::image::Image;
use crate::reference::ImageName;
use crate::store::StoreArgs;

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
        let _shared = store.share()?;
        let image = Image::find(&store, &self.image)?;
        let names: Vec<String> = store
            .index()?
            .images()
            .iter()
            .filter(|it| it.id == image.tagged.id)
            .filter_map(|it| it.reference.as_ref().map(ToString::to_string))
            .collect();
        let chain: Vec<String> = image
            .chain()?
            .iter()
            .map(|layer| store.layer(layer).display().to_string())
            .collect();
        let document = json!({
            "id": image.tagged.id.to_string(),
            "digest": image.tagged.manifest.to_string(),
            "names": names,
            "size": image.tagged.size,
            "manifest": serde_json::to_value(&image.manifest)?,
            "configuration": serde_json::from_slice::<Value>(&image.configuration_bytes)?,
            "unpacked": chain,
        });
        super::output::print(&(serde_json::to_string_pretty(&document)? + "\n"))
    }
}
