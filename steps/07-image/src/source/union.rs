//! Unites the two lists of images that an archive may have. Docker writes both; some
//! programs write the names, or the layers, into one of them alone.

use anyhow::{Result, ensure};
use kit::Failure;

use super::Offer;
use crate::digest::Digest;
use crate::document;
use crate::image::diff_ids;
use crate::reference::Reference;

/// Adds the images of `manifest.json` to those of `index.json`.
///
/// # Errors
/// Two images have the same name; an image has no layers in either list.
pub(super) fn union<'a>(
    mut offers: Vec<Offer<'a>>,
    listed: Vec<Offer<'a>>,
) -> Result<Vec<Offer<'a>>> {
    for offer in listed {
        match offers.iter_mut().find(|it| it.configuration == offer.configuration) {
            Some(same) => {
                same.names.extend(offer.names);
                same.layers = same.layers.take().or(offer.layers);
            }
            None => offers.push(offer),
        }
    }
    for offer in &offers {
        if offer.layers.is_none() {
            let parsed = document::configuration(&offer.configuration, "")?;
            document::check_layer_count(0, diff_ids(&parsed)?.len())?;
        }
    }
    resolve_names(&mut offers)?;
    Ok(offers)
}

/// Leaves each name to one image. If images for several machines have a name, the best
/// keeps it.
fn resolve_names(offers: &mut Vec<Offer<'_>>) -> Result<()> {
    let all: Vec<(Reference, u32, Digest)> = offers
        .iter()
        .flat_map(|offer| {
            let id = Digest::of(&offer.configuration);
            offer.names.iter().map(move |name| (name.clone(), offer.rank, id))
        })
        .collect();
    let best = |name: &Reference| {
        let ranks = all.iter().filter(|(other, ..)| other == name);
        ranks.min_by_key(|(_, rank, _)| *rank)
    };
    for (name, rank, id) in &all {
        let is_ambiguous =
            best(name).is_some_and(|(_, best, other)| best == rank && other != id);
        ensure!(
            !is_ambiguous,
            Failure::new(format_args!("{name}: two images have this name"))
                .hint("programs do not agree which of them is meant")
        );
    }
    offers.retain_mut(|offer| {
        let had_names = !offer.names.is_empty();
        let rank = offer.rank;
        offer.names.retain(|name| best(name).is_some_and(|(_, best, _)| *best == rank));
        offer.names.sort();
        offer.names.dedup();
        !had_names || !offer.names.is_empty()
    });
    Ok(())
}
