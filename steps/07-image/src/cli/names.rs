//! `rmi` and `tag`.

use anyhow::Result;

use crate::args::StoreArgs;
use crate::collect::collect;
use crate::reference::{ImageName, Reference};
use crate::store::TaggedImage;

/// Options of `rmi`.
#[derive(clap::Args)]
pub struct Rmi {
    #[command(flatten)]
    store: StoreArgs,
    /// The images, by their names, or by their ids with all their names
    #[arg(value_name = "NAME[:TAG]", required = true)]
    images: Vec<ImageName>,
}

impl Rmi {
    /// Removes every image that exists, and reports each that does not, as `docker rmi`
    /// does.
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        let (mut removed, mut errors) = (Vec::new(), Vec::new());
        store.change_index(|index| {
            for name in &self.images {
                match index.remove(name) {
                    Ok(tagged) => removed.extend(tagged),
                    Err(error) => errors.push(error),
                }
            }
            Ok(())
        })?;
        let line = |image: &TaggedImage| format!("Removed {}\n", image.display_name());
        kit::print(removed.iter().map(line).collect::<String>())?;
        if !removed.is_empty() {
            store.as_root(|| collect(&store))?;
        }
        kit::combine(errors)
    }
}

/// Options of `tag`.
#[derive(clap::Args)]
pub struct Tag {
    #[command(flatten)]
    store: StoreArgs,
    /// The image
    #[arg(value_name = "NAME[:TAG]")]
    image: ImageName,
    /// Its other name
    #[arg(value_name = "NEW[:TAG]")]
    name: Reference,
}

impl Tag {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        store.change_index(|index| {
            let found = index.find(&self.image)?.clone();
            index.insert(TaggedImage { reference: Some(self.name.clone()), ..found });
            Ok(())
        })
    }
}
