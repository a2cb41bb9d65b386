//! `rmi` and `tag`.

use anyhow::Result;

use crate::collect::collect;
use crate::image::called;
use crate::reference::{ImageName, Reference};
use crate::store::{StoreArgs, Tagged};

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
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        // As `docker rmi` has it: what is there goes, and each that is not is told.
        let (mut removed, mut refused) = (Vec::new(), Vec::new());
        store.change_index(|index| {
            for named in &self.images {
                index.remove(named).map_or_else(
                    |error| refused.push(error),
                    |gone| removed.extend(gone),
                );
            }
            Ok(())
        })?;
        let lines: String = removed
            .iter()
            .map(|image| format!("Removed {}\n", called(image)))
            .collect();
        super::output::print(&lines)?;
        if !removed.is_empty() {
            user::as_root(|| collect(&store))?;
        }
        kit::together(refused)
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
            index.name(Tagged { reference: Some(self.name.clone()), ..found });
            Ok(())
        })
    }
}
