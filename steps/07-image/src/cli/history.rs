//! `history`.

use anyhow::Result;
use bytesize::ByteSize;
use serde_json::json;

use super::images::{Format, ago, lines, plain_table};
use crate::image::Image;
use crate::reference::ImageName;
use crate::store::StoreArgs;

/// Options of `history`.
#[derive(clap::Args)]
pub struct History {
    #[command(flatten)]
    store: StoreArgs,
    /// Print for people (table) or for machines (json)
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The image
    #[arg(value_name = "NAME[:TAG]")]
    image: ImageName,
}

/// One step of how an image came about.
struct Step {
    created: String,
    created_by: String,
    /// Bytes of its layer's archive; none for a step that only changed the
    /// configuration.
    size: Option<u64>,
}

impl History {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        let _shared = store.share()?;
        let steps = steps(&Image::find(&store, &self.image)?);
        super::output::print(&match self.format {
            Format::Table => table(&steps),
            Format::Json => {
                let step = |step: &Step| json!({ "created": step.created, "created_by": step.created_by, "size": step.size });
                serde_json::to_string_pretty(
                    &steps.iter().map(step).collect::<Vec<_>>(),
                )? + "\n"
            }
        })
    }
}

/// The latest first. What has no history has its layers at least.
fn steps(image: &Image) -> Vec<Step> {
    let mut sizes = image.manifest.layers().iter().map(|layer| layer.size());
    let history = image.configuration.history().iter().flatten();
    let mut steps: Vec<Step> = history
        .map(|entry| Step {
            created: entry.created().clone().unwrap_or_default(),
            created_by: entry.created_by().clone().unwrap_or_default(),
            size: if entry.empty_layer().unwrap_or(false) {
                None
            } else {
                sizes.next()
            },
        })
        .collect();
    steps.extend(sizes.map(|size| Step {
        created: String::new(),
        created_by: String::new(),
        size: Some(size),
    }));
    steps.reverse();
    steps
}

fn table(steps: &[Step]) -> String {
    let mut table = plain_table(&["CREATED", "CREATED BY", "SIZE"]);
    for step in steps {
        let created =
            if step.created.is_empty() { "<none>".into() } else { ago(&step.created) };
        let size = step.size.map_or_else(
            || "0 B".into(),
            |size| ByteSize(size).display().si().to_string(),
        );
        table.add_row([created, kit::readable(&step.created_by), size]);
    }
    lines(&table)
}
