//! `rmi` and `tag`.

use anyhow::{Error, Result};
use kit::{Failure, FailureKind};

use crate::args::StoreArgs;
use crate::collect::{collect_and_change, collect_garbage};
use crate::reference::{ImageName, Reference};
use crate::store::{Index, TaggedImage, is_disk_full};

/// Options of `rmi`.
#[derive(clap::Args)]
pub struct Rmi {
    #[command(flatten)]
    store: StoreArgs,
    /// Succeed although an image is not there
    ///
    /// Nothing else needs force: a container keeps the layers that it uses.
    #[arg(short, long)]
    force: bool,
    /// The images, by their names, or by their ids with all their names
    #[arg(value_name = "NAME[:TAG]", required = true)]
    images: Vec<ImageName>,
}

impl Rmi {
    /// Removes every image that exists, and reports each that does not, as `docker rmi`
    /// does.
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        let remove = |index: &mut Index| self.remove_names(index);
        let (removed, errors) = match store.change_index(|index| Ok(remove(index))) {
            // The new list of images is written beside the old one, which needs room.
            Err(error) if is_disk_full(&error) => collect_and_change(&store, remove)?,
            done => done?,
        };
        let line = |image: &TaggedImage| format!("Removed {}\n", image.display_name());
        kit::print(removed.iter().map(line).collect::<String>())?;
        if !removed.is_empty() {
            store.as_root(|| collect_garbage(&store))?;
        }
        let is_excused = |error: &Error| {
            self.force && Failure::of(error).kind() == FailureKind::NotFound
        };
        let (excused, errors): (Vec<_>, Vec<_>) =
            errors.into_iter().partition(is_excused);
        excused.iter().for_each(|error| kit::warn(Failure::of(error)));
        kit::combine_errors(errors)
    }

    /// Removes the names from the list, and returns the removed entries, and an error
    /// for each name that is not in it.
    fn remove_names(&self, index: &mut Index) -> (Vec<TaggedImage>, Vec<Error>) {
        let (mut removed, mut errors) = (Vec::new(), Vec::new());
        for name in &self.images {
            match index.remove(name) {
                Ok(tagged) => removed.extend(tagged),
                Err(error) => errors.push(error),
            }
        }
        (removed, errors)
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
