//! `images`.

use anyhow::Result;
use kit::Failure;
use serde::Serialize;

use super::output::{OutputFormat, ago, format_size, print_list};
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
    /// Why it cannot be used, if a document of it is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged: Option<String>,
}

impl Images {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        let _shared = store.lock_shared()?;
        let index = store.index()?;
        let list =
            index.images().iter().map(|tagged| ListedImage::read(&store, tagged));
        let list: Vec<ListedImage> = list.collect();
        let header = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
        print_list(self.format, &list, header, ListedImage::row)
    }
}

impl ListedImage {
    fn read(store: &Store, tagged: &TaggedImage) -> Self {
        let (created, damaged) = match Image::read(store, tagged.clone()) {
            Ok(image) => (image.configuration.created().clone(), None),
            Err(error) => {
                kit::warn_error("the others are listed", &error);
                (None, Some(Failure::of(&error).to_string()))
            }
        };
        let reference = tagged.reference.as_ref();
        ListedImage {
            name: reference.map(|reference| reference.name().into()),
            tag: reference.map(|reference| reference.tag().into()),
            id: tagged.id,
            digest: tagged.manifest,
            created,
            size: tagged.size,
            damaged,
        }
    }

    fn row(&self) -> [String; 5] {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "<none>".into());
        let created = match &self.damaged {
            Some(_) => "<damaged>".into(),
            None => or_none(self.created.as_deref().map(ago)),
        };
        [
            or_none(self.name.clone()),
            or_none(self.tag.clone()),
            self.id.hex().chars().take(12).collect(),
            created,
            format_size(self.size),
        ]
    }
}
