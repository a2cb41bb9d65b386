//! `check`: verifies the images of a store, or those of an archive before it is loaded.
//!
//! Every layer is unpacked once more, below `tmp`: this verifies the digest of its
//! archive, its diff id and every rule of archives, and then the tree in the store can
//! be compared with the new one.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use kit::Failure;

use crate::digest::Digest;
use crate::image::{Image, diff_ids};
use crate::layer::{IncomingLayer, ReceivedLayer, receive};
use crate::layers::has_same_content;
use crate::progress;
use crate::reference::ImageName;
use crate::source::{Members, Offer, offers};
use crate::store::{Store, TaggedImage};
use crate::unpack::Budget;

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
    Ok(images.iter().map(|image| check_image(store, image)).collect())
}

fn check_image(store: &Store, image: &TaggedImage) -> CheckedImage {
    let mut damage = Vec::new();
    match Image::read(store, image.clone()) {
        Err(error) => damage.push(text(&error)),
        Ok(image) => {
            if let Err(error) = check_layers(store, &image, &mut damage) {
                damage.push(text(&error));
            }
        }
    }
    CheckedImage { name: image.display_name(), damage }
}

fn check_layers(store: &Store, image: &Image, damage: &mut Vec<String>) -> Result<()> {
    let (chain, diff_ids) = (image.chain_ids()?, diff_ids(&image.configuration)?);
    let archives = image.archives()?;
    for (at, (archive, diff_id)) in archives.iter().zip(&diff_ids).enumerate() {
        if let Err(error) = check_layer(store, archive, diff_id, &chain[..=at]) {
            damage.push(text(&error));
            // The store may be read-only. Then the layer cannot be replaced, either.
            let _ = store.remove_record(&chain[at]);
        }
    }
    Ok(())
}

/// Checks the last layer of a chain.
fn check_layer(
    store: &Store,
    archive: &Digest,
    diff_id: &Digest,
    chain: &[Digest],
) -> Result<()> {
    let path = store.blob(archive);
    let open = || Ok(Box::new(kit::open_regular(&path)?) as Box<dyn Read + Send>);
    let layer = IncomingLayer {
        name: format!("layer {}", &archive.hex()[..12]),
        size: path.metadata().ok().map(|found| found.len()),
        digest: Some(*archive),
        diff_id: Some(*diff_id),
        open: Box::new(open),
    };
    let received = receive_one(store, &layer)?;
    let is_same = has_same_content(store, &received, chain)?;
    anyhow::ensure!(
        is_same,
        Failure::new(format_args!(
            "{}: its files in {} are not those of its archive",
            layer.name,
            chain.last().map(|id| store.layer(id)).unwrap_or_default().display()
        ))
    );
    Ok(())
}

/// Checks the images of an archive or a directory, without loading them.
pub(crate) fn check_source(store: &Store, path: &Path) -> Result<Vec<CheckedImage>> {
    // A pipe may take long: meanwhile other commands may remove images.
    let members = Members::open_source(path, store)?;
    let _shared = store.lock_shared()?;
    let offers = offers(&members)?;
    Ok(offers.iter().map(|offer| check_offer(store, offer)).collect())
}

fn check_offer(store: &Store, offer: &Offer<'_>) -> CheckedImage {
    let id = || Digest::of(&offer.configuration).to_string();
    let name = offer.names.first().map_or_else(id, ToString::to_string);
    let check = |layer| receive_one(store, layer).err().map(|error| text(&error));
    CheckedImage { name, damage: offer.layers().iter().filter_map(check).collect() }
}

fn receive_one(store: &Store, layer: &IncomingLayer<'_>) -> Result<ReceivedLayer> {
    let bars = progress::bars();
    let received = receive(store, layer, &Budget::new(store.free_space()?), &bars);
    let _ = bars.clear(); // a terminal that is gone is no reason to fail
    received.with_context(|| layer.name.clone())
}

fn text(error: &anyhow::Error) -> String {
    Failure::of(error).to_string()
}
