//! `import` and `load`.

use std::path::PathBuf;

use anyhow::Result;

use crate::image::called;
use crate::load;
use crate::reference::Reference;
use crate::store::StoreArgs;

/// Options of `import`.
#[derive(clap::Args)]
pub struct Import {
    #[command(flatten)]
    store: StoreArgs,
    /// The archive; - is the standard input
    #[arg(value_name = "TAR")]
    archive: PathBuf,
    /// What to call the image
    #[arg(value_name = "NAME[:TAG]")]
    name: Reference,
}

impl Import {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        let mend = user::how_to_get_ids();
        user::as_root(|| {
            let image = load::import(&store, &self.archive, self.name.clone(), &mend)?;
            super::output::print(&format!("{}\n", image.id))
        })
    }
}

/// Options of `load`.
#[derive(clap::Args)]
pub struct Load {
    #[command(flatten)]
    store: StoreArgs,
    /// The archive or directory; - is the standard input
    #[arg(value_name = "FILE|DIR", required_unless_present = "input")]
    source: Option<PathBuf>,
    /// The same, as Docker has it
    #[arg(short, long, value_name = "FILE|DIR", conflicts_with = "source")]
    input: Option<PathBuf>,
}

impl Load {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        let source =
            self.source.as_ref().or(self.input.as_ref()).cloned().unwrap_or_default();
        let mend = user::how_to_get_ids();
        user::as_root(|| {
            let loaded = load::load(&store, &source, &mend)?;
            let lines: String = loaded
                .iter()
                .map(|image| format!("Loaded {}\n", called(image)))
                .collect();
            super::output::print(&lines)
        })
    }
}
