//! `history`.

use anyhow::Result;
use oci_spec::image::History as Entry;
use serde::Serialize;

use super::output::{OutputFormat, ago, format_size, print_list, print_list_that_fits};
use crate::args::StoreArgs;
use crate::image::Image;
use crate::reference::ImageName;

/// Options of `history`.
#[derive(clap::Args)]
pub struct History {
    #[command(flatten)]
    store: StoreArgs,
    /// Print for people (table) or for machines (json)
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
    /// Print the whole commands, also where they do not fit the terminal
    #[arg(long)]
    no_trunc: bool,
    /// The image
    #[arg(value_name = "NAME[:TAG]")]
    image: ImageName,
}

/// A step of the image's history.
#[derive(Default, Serialize)]
struct HistoryEntry {
    created: String,
    created_by: String,
    comment: String,
    /// Bytes of its layer's archive; None if only the configuration was changed.
    size: Option<u64>,
}

impl History {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        let _shared = store.lock_shared()?;
        let entries = entries(&Image::find(&store, &self.image)?);
        let header = ["CREATED", "CREATED BY", "SIZE"];
        match self.no_trunc {
            true => print_list(self.format, &entries, &header, row),
            false => print_list_that_fits(self.format, &entries, &header, row, 1),
        }
    }
}

fn row(entry: &HistoryEntry) -> Vec<String> {
    let created = match entry.created.as_str() {
        "" => "<none>".into(),
        time => ago(time),
    };
    vec![
        created,
        kit::escape_control_characters(&entry.created_by),
        format_size(entry.size.unwrap_or(0)),
    ]
}

/// Returns the steps of the history, the latest first. Layers that the history does not
/// list are steps of their own.
fn entries(image: &Image) -> Vec<HistoryEntry> {
    let mut sizes = image.manifest.layers().iter().map(|layer| layer.size());
    let to_entry = |entry: &Entry| HistoryEntry {
        created: entry.created().clone().unwrap_or_default(),
        created_by: entry.created_by().clone().unwrap_or_default(),
        comment: entry.comment().clone().unwrap_or_default(),
        size: match entry.empty_layer() {
            Some(true) => None,
            _ => sizes.next(),
        },
    };
    let mut entries: Vec<HistoryEntry> =
        image.configuration.history().iter().flatten().map(to_entry).collect();
    entries.extend(
        sizes.map(|size| HistoryEntry { size: Some(size), ..Default::default() }),
    );
    entries.reverse();
    entries
}
