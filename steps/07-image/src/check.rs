//! `check`: verifies the images of a store, or those of an archive before it is loaded.
//!
//! Every layer is unpacked once more, below `tmp`: this verifies the digest of its
//! archive, its diff id and every rule of archives, and then the tree in the store can
//! be compared with the new one. If this copy cannot be made, nothing is known about the
//! image: that is an error, and no damage.

mod copy;

use std::io::Read;
use std::path::Path;

use anyhow::{Result, ensure};
use kit::Failure;

use crate::digest::Digest;
use crate::image::{Image, diff_ids};
use crate::layer::IncomingLayer;
use crate::layers::has_same_content;
use crate::reference::ImageName;
use crate::source::{Members, Offer, offers};
use crate::store::{Store, TaggedImage};
use copy::{damage_or_error, receive_copy};

/// An image that has been checked.
pub(crate) struct CheckedImage {
    pub(crate) name: String,
    /// The reasons why it cannot be used; none if it is whole.
    pub(crate) damage: Vec<String>,
}

/// Checks images of the store, or all of them if no name is given. A damaged layer
/// loses its record, so that loading the image again replaces it.
pub(crate) fn check_images(
    store: &Store,
    names: &[ImageName],
) -> Result<Vec<CheckedImage>> {
    let _shared = store.lock_shared()?;
    let index = store.index()?;
    let images: Vec<TaggedImage> = match names {
        [] => index.images().to_vec(),
        names => {
            names.iter().map(|it| index.find(it).cloned()).collect::<Result<_>>()?
        }
    };
    images.iter().map(|image| check_image(store, image)).collect()
}

fn check_image(store: &Store, image: &TaggedImage) -> Result<CheckedImage> {
    let layers = Image::read(store, image.clone()).and_then(|image| {
        let diff_ids = diff_ids(&image.configuration)?;
        Ok((image.chain_ids()?, diff_ids, image.archives()?))
    });
    let mut damage = Vec::new();
    match layers {
        Err(error) => damage.push(text(&error)),
        Ok((chain, diff_ids, archives)) => {
            for (at, (archive, diff_id)) in archives.iter().zip(&diff_ids).enumerate() {
                let checked = check_layer(store, archive, diff_id, &chain[..=at])?;
                if let Err(error) = checked {
                    damage.push(text(&error));
                    // The damage is reported, whether the record can be removed or not.
                    let _ = store.remove_record(&chain[at]);
                }
            }
        }
    }
    Ok(CheckedImage { name: image.display_name(), damage })
}

/// Checks the last layer of a chain. The inner error is its damage.
fn check_layer(
    store: &Store,
    archive: &Digest,
    diff_id: &Digest,
    chain: &[Digest],
) -> Result<Result<()>> {
    let path = store.blob(archive);
    let open = || Ok(Box::new(kit::open_regular(&path)?) as Box<dyn Read + Send>);
    let layer = IncomingLayer {
        name: format!("layer {}", &archive.hex()[..12]),
        size: path.metadata().ok().map(|found| found.len()),
        digest: Some(*archive),
        diff_id: Some(*diff_id),
        open: Box::new(open),
    };
    let is_same = match receive_copy(store, &layer)? {
        Ok(received) => damage_or_error(has_same_content(store, &received, chain))?,
        Err(damage) => Err(damage),
    };
    Ok(is_same.and_then(|is_same| {
        let tree = chain.last().map(|id| store.layer(id)).unwrap_or_default();
        ensure!(
            is_same,
            Failure::new(format_args!(
                "{}: its files in {} are not those of its archive",
                layer.name,
                tree.display()
            ))
        );
        Ok(())
    }))
}

/// Checks the images of an archive or a directory, without loading them.
pub(crate) fn check_source(store: &Store, path: &Path) -> Result<Vec<CheckedImage>> {
    // A pipe may take long: meanwhile other commands may remove images.
    let members = Members::open_source(path, store)?;
    let _shared = store.lock_shared()?;
    let offers = offers(&members)?;
    offers.iter().map(|offer| check_offer(store, offer)).collect()
}

fn check_offer(store: &Store, offer: &Offer<'_>) -> Result<CheckedImage> {
    let id = || Digest::of(&offer.configuration).to_string();
    let name = offer.names.first().map_or_else(id, ToString::to_string);
    let mut damage = Vec::new();
    for layer in offer.layers() {
        damage.extend(receive_copy(store, layer)?.err().map(|error| text(&error)));
    }
    Ok(CheckedImage { name, damage })
}

fn text(error: &anyhow::Error) -> String {
    Failure::of(error).to_string()
}
