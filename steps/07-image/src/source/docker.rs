//! docker-archive, the format of `docker save`. Its `manifest.json` lists the images,
//! each with the files of its configuration and its layers. Only the configuration has
//! the digests of the layers.

use anyhow::{Context, Result, ensure};
use kit::Failure;
use serde::Deserialize;

use super::{Members, Offer, incoming_layer, platform};
use crate::digest::Digest;
use crate::document;
use crate::image::diff_ids;
use crate::limits::MOST_NAMES;
use crate::reference::Reference;

/// An image in `manifest.json`.
#[derive(Deserialize)]
struct ListedImage {
    #[serde(rename = "Config")]
    configuration: String,
    #[serde(rename = "RepoTags", default)]
    names: Option<Vec<String>>,
    #[serde(rename = "Layers", default)]
    layers: Option<Vec<String>>,
}

pub(super) fn offers(members: &Members) -> Result<Vec<Offer<'_>>> {
    let images: Vec<ListedImage> = members.json("manifest.json")?;
    ensure!(
        !images.is_empty(),
        Failure::new(format_args!("{}: manifest.json lists no image", members.name()))
    );
    images.into_iter().map(|image| offer(members, image)).collect()
}

fn offer(members: &Members, image: ListedImage) -> Result<Offer<'_>> {
    let configuration = members.document(&image.configuration)?;
    // The file may have any name; usually the name is its digest.
    let name = image.configuration.rsplit('/').next().unwrap_or_default();
    let name = name.trim_end_matches(".json");
    if let Ok(wanted) = format!("sha256:{name}").parse() {
        Digest::of(&configuration).verify(&image.configuration, &wanted)?;
    }
    let parsed = document::configuration(&configuration, &image.configuration)?;
    let diff_ids = diff_ids(&parsed)?;
    let layers = image.layers.unwrap_or_default();
    document::check_layer_count(layers.len(), diff_ids.len())?;
    let layers = layers
        .into_iter()
        .zip(diff_ids)
        .map(|(member, diff_id)| incoming_layer(members, member, None, diff_id));
    let names = image.names.unwrap_or_default();
    ensure!(
        names.len() <= MOST_NAMES,
        Failure::new(format_args!(
            "an image with {} names: the most is {MOST_NAMES}",
            names.len()
        ))
    );
    let names = names.iter().map(|name| {
        name.parse::<Reference>().map_err(Failure::new).context("RepoTags")
    });
    Ok(Offer {
        names: names.collect::<Result<_>>()?,
        manifest: None,
        configuration,
        layers: Some(layers.collect::<Result<_>>()?),
        rank: platform::rank_configuration(&parsed),
    })
}
