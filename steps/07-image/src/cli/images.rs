//! `images`.

use std::str::FromStr;

use anyhow::Result;
use kit::Failure;
use serde::Serialize;
use serde_json::{Value, json};

use super::output::{ListFormat, ago, format_size, print_list};
use crate::args::StoreArgs;
use crate::digest::Digest;
use crate::image::Image;
use crate::reference::Reference;
use crate::store::{Store, TaggedImage};

/// Options of `images`.
#[derive(clap::Args)]
pub struct Images {
    #[command(flatten)]
    store: StoreArgs,
    /// Print for people (table) or for machines (json), or a line for each: {{.ID}}
    ///
    /// The fields: Repository, Tag, Digest, ID, CreatedAt, CreatedSince, Size.
    #[arg(long, value_name = "table|json|TEMPLATE", default_value = "table")]
    format: ListFormat,
    /// Print the ids alone
    #[arg(short, long, conflicts_with_all = ["format", "digests"])]
    quiet: bool,
    /// Show the digests of the manifests, for NAME@DIGEST
    #[arg(long)]
    digests: bool,
    /// Show the whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Only the images of this name
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<Pattern>,
}

/// A name, which stands for all its tags unless it has one.
#[derive(Clone, Debug)]
struct Pattern {
    reference: Reference,
    has_tag: bool,
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
        let is_asked_for =
            |it: &&TaggedImage| self.name.as_ref().is_none_or(|name| name.matches(it));
        let tagged = index.images().iter().filter(is_asked_for);
        if self.quiet {
            let ids = tagged.map(|image| format!("{}\n", self.shown_id(&image.id)));
            return kit::print(ids.collect::<String>());
        }
        let list: Vec<ListedImage> =
            tagged.map(|tagged| ListedImage::read(&store, tagged)).collect();
        let format = match &self.format {
            ListFormat::Whole(format) => *format,
            ListFormat::Lines(template) => {
                let line = |image| Ok(template.render(&self.fields(image))? + "\n");
                let lines: Result<String> = list.iter().map(line).collect();
                return kit::print(lines?);
            }
        };
        let mut header = vec!["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
        if self.digests {
            header.insert(2, "DIGEST");
        }
        print_list(format, &list, &header, |image| self.row(image))
    }

    /// Returns the fields of a line, by the names that they have in Docker.
    fn fields(&self, image: &ListedImage) -> Value {
        let [name, tag, id, since, size] = self.cells(image);
        json!({
            "Repository": name, "Tag": tag, "Digest": image.digest, "ID": id,
            "CreatedAt": image.created, "CreatedSince": since, "Size": size,
        })
    }

    fn shown_id(&self, id: &Digest) -> String {
        match self.no_trunc {
            true => id.to_string(),
            false => id.hex().chars().take(12).collect(),
        }
    }

    fn row(&self, image: &ListedImage) -> Vec<String> {
        let mut row = Vec::from(self.cells(image));
        if self.digests {
            row.insert(2, image.digest.to_string());
        }
        row
    }

    fn cells(&self, image: &ListedImage) -> [String; 5] {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "<none>".into());
        let created = match &image.damaged {
            Some(_) => "<damaged>".into(),
            None => or_none(image.created.as_deref().map(ago)),
        };
        [
            or_none(image.name.clone()),
            or_none(image.tag.clone()),
            self.shown_id(&image.id),
            created,
            format_size(image.size),
        ]
    }
}

impl Pattern {
    fn matches(&self, image: &TaggedImage) -> bool {
        let on_localhost = self.reference.on_localhost();
        let wanted = [Some(&self.reference), on_localhost.as_ref()];
        let has_name = |own: &Reference| {
            wanted.into_iter().flatten().any(|wanted| {
                own.name() == wanted.name()
                    && (!self.has_tag || own.tag() == wanted.tag())
            })
        };
        image.reference.as_ref().is_some_and(has_name)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let reference: Reference = text.parse()?;
        // A colon before a slash belongs to a port.
        let last = text.rsplit('/').next().unwrap_or_default();
        Ok(Pattern { reference, has_tag: last.contains(':') })
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
}
