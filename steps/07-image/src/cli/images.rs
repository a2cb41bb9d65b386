//! `images`.

use anyhow::Result;
use bytesize::ByteSize;
use comfy_table::{Table, presets};
use serde_json::json;

use crate::image::Image;
use crate::store::{Store, StoreArgs, Tagged};

/// Options of `images`.
#[derive(clap::Args)]
pub struct Images {
    #[command(flatten)]
    store: StoreArgs,
    /// Print for people (table) or for machines (json)
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

impl Images {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        let _shared = store.share()?;
        let index = store.index()?;
        super::output::print(&match self.format {
            Format::Table => table(&store, index.images())?,
            Format::Json => {
                let list: Vec<_> = index
                    .images()
                    .iter()
                    .map(|image| entry(&store, image))
                    .collect::<Result<_>>()?;
                serde_json::to_string_pretty(&list)? + "\n"
            }
        })
    }
}

/// A table without lines, as other tools print it.
pub(super) fn plain_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    table
}

pub(super) fn lines(table: &Table) -> String {
    table.lines().map(|line| line.trim_start().trim_end().to_string() + "\n").collect()
}

fn table(store: &Store, images: &[Tagged]) -> Result<String> {
    let mut table = plain_table(&["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
    for tagged in images {
        let none = || "<none>".to_string();
        let name = tagged.reference.as_ref();
        table.add_row([
            name.map_or_else(none, |name| name.name().into()),
            name.map_or_else(none, |name| name.tag().into()),
            tagged.id.hex()[..12].into(),
            created(store, tagged)?.map_or_else(none, |time| ago(&time)),
            ByteSize(tagged.size).display().si().to_string(),
        ]);
    }
    Ok(lines(&table))
}

fn created(store: &Store, tagged: &Tagged) -> Result<Option<String>> {
    Ok(Image::of(store, tagged.clone())?.configuration.created().clone())
}

fn entry(store: &Store, tagged: &Tagged) -> Result<serde_json::Value> {
    Ok(json!({
        "name": tagged.reference.as_ref().map(|name| name.name()),
        "tag": tagged.reference.as_ref().map(|name| name.tag()),
        "id": tagged.id.to_string(),
        "digest": tagged.manifest.to_string(),
        "created": created(store, tagged)?,
        "size": tagged.size,
    }))
}

/// How long ago a time was, in the largest unit.
pub(super) fn ago(time: &str) -> String {
    let Ok(time) = time.parse::<jiff::Timestamp>() else { return kit::readable(time) };
    let seconds = jiff::Timestamp::now().duration_since(time).as_secs().max(0);
    let units = [
        ("year", 31_536_000),
        ("month", 2_592_000),
        ("day", 86400),
        ("hour", 3600),
        ("minute", 60),
        ("second", 1),
    ];
    let (unit, length) = units
        .into_iter()
        .find(|(_, length)| seconds >= *length)
        .unwrap_or(("second", 1));
    let count = seconds / length;
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}
