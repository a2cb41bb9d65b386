//! `rmi` and `tag`.

use anyhow::Result;

use crate::collect::collect;
use crate::image::called;
use crate::reference::{Named, Reference};
use crate::store::{StoreArgs, Tagged};

/// Options of `rmi`.
#[derive(clap::Args)]
pub struct Rmi {
    #[command(flatten)]
    store: StoreArgs,
    /// The images, by their names, or by their ids with all their names
    #[arg(value_name = "NAME[:TAG]", required = true)]
    images: Vec<Named>,
}

impl Rmi {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        // All of them, or none.
        let removed = store.change_index(|index| {
            let mut removed = Vec::new();
            for named in &self.images {
                removed.extend(index.remove(named)?);
            }
            Ok(removed)
        })?;
        let lines: String = removed.iter().map(|image| format!("Removed {}\n", called(image))).collect();
        super::output::print(&lines)?;
        user::as_root(|| collect(&store))
    }
}

/// Options of `tag`.
#[derive(clap::Args)]
pub struct Tag {
    #[command(flatten)]
    store: StoreArgs,
    /// The image
    #[arg(value_name = "NAME[:TAG]")]
    image: Named,
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
