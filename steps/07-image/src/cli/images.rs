//! `images`.

use anyhow::Result;
use serde::Serialize;

use super::output::{OutputFormat, ago, print_list, size};
use crate::args::StoreArgs;
use crate::digest::Digest;
use crate::image::Image;
use crate::store::{Store, TaggedImage};

/// Options of `images`.
#[derive(clap::Args)]
pub struct Images {
    #[command(flatten)]
    store: StoreArgs,
    /// Print for people (table) or for machines (json)
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
}

/// An image in the list. An image that has lost its name is known by its id alone.
#[derive(Serialize)]
struct ListedImage {
    name: Option<String>,
    tag: Option<String>,
    id: Digest,
    /// The digest of its manifest.
    digest: Digest,
    created: Option<String>,
    /// Bytes of all its files.
    size: u64,
}

impl Images {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        let _shared = store.lock_shared()?;
        let index = store.index()?;
        let list =
            index.images().iter().map(|tagged| ListedImage::read(&store, tagged));
        let list: Vec<ListedImage> = list.collect::<Result<_>>()?;
        let header = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
        print_list(self.format, &list, header, ListedImage::row)
    }
}

impl ListedImage {
    fn read(store: &Store, tagged: &TaggedImage) -> Result<Self> {
        let image = Image::read(store, tagged.clone())?;
        let reference = tagged.reference.as_ref();
        Ok(ListedImage {
            name: reference.map(|reference| reference.name().into()),
            tag: reference.map(|reference| reference.tag().into()),
            id: tagged.id,
            digest: tagged.manifest,
            created: image.configuration.created().clone(),
            size: tagged.size,
        })
    }

    fn row(&self) -> [String; 5] {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "<none>".into());
        [
            or_none(self.name.clone()),
            or_none(self.tag.clone()),
            self.id.hex().chars().take(12).collect(),
            or_none(self.created.as_deref().map(ago)),
            size(self.size),
        ]
    }
}
