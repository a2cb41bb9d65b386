//! `import` and `load`.

use std::path::PathBuf;

use anyhow::Result;

use crate::args::StoreArgs;
use crate::load;
use crate::reference::Reference;
use crate::store::TaggedImage;

/// Options of `import`.
#[derive(clap::Args)]
pub struct Import {
    #[command(flatten)]
    store: StoreArgs,
    /// The archive; - is the standard input
    #[arg(value_name = "TAR")]
    archive: PathBuf,
    /// The name of the new image
    #[arg(value_name = "NAME[:TAG]")]
    name: Reference,
}

impl Import {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        let hint = user::how_to_get_ids(&user::helpers());
        store.as_root(|| {
            let id = load::import(&store, &self.archive, self.name.clone(), &hint)?;
            kit::print(format_args!("{id}\n"))
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
    /// The same, as in Docker
    #[arg(short, long, value_name = "FILE|DIR", conflicts_with = "source")]
    input: Option<PathBuf>,
}

impl Load {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        let source =
            self.source.as_ref().or(self.input.as_ref()).cloned().unwrap_or_default();
        let hint = user::how_to_get_ids(&user::helpers());
        store.as_root(|| {
            load::load(&store, &source, &hint, |image: &TaggedImage| {
                kit::print(format_args!("Loaded {}\n", image.display_name()))
            })
        })
    }
}
