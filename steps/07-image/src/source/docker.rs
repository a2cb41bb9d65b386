//! docker-archive, the format of `docker save`. Its `manifest.json` lists the images,
//! each with the files of its configuration and its layers. Only the configuration says
//! which digests the layers must have.

use anyhow::{Context, Result};
use kit::Failure;
use serde::Deserialize;

use super::{Members, Offer, incoming};
use crate::digest::Digest;
use crate::document;
use crate::image::diff_ids;
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

/// The most names that an image may have.
const MOST_NAMES: usize = 100;

pub(super) fn offers(members: &Members) -> Result<Vec<Offer<'_>>> {
    let images: Vec<ListedImage> = serde_json::from_slice(
        &members.document("manifest.json")?,
    )
    .map_err(|error| {
        Failure::new(format_args!("{}: manifest.json: {error}", members.name()))
    })?;
    if images.is_empty() {
        return Err(Failure::new(format_args!(
            "{}: manifest.json lists no image",
            members.name()
        ))
        .into());
    }
    images.into_iter().map(|image| offer(members, image)).collect()
}

fn offer(members: &Members, image: ListedImage) -> Result<Offer<'_>> {
    let configuration = members.document(&image.configuration)?;
    // The file is usually named after its digest, and may have any other name.
    let name = image
        .configuration
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".json");
    if let Ok(wanted) = format!("sha256:{name}").parse() {
        Digest::of(&configuration).verify(&image.configuration, &wanted)?;
    }
    let diff_ids =
        diff_ids(&document::configuration(&configuration, &image.configuration)?)?;
    let layers = image.layers.unwrap_or_default();
    document::check_layer_count(layers.len(), diff_ids.len())?;
    let layers = layers
        .into_iter()
        .zip(diff_ids)
        .map(|(member, diff_id)| incoming(members, member, None, diff_id));
    let names = image.names.unwrap_or_default();
    if names.len() > MOST_NAMES {
        return Err(Failure::new(format_args!(
            "an image with {} names: the most is 100",
            names.len()
        ))
        .into());
    }
    let names = names.iter().map(|name| {
        name.parse::<Reference>().map_err(Failure::new).context("RepoTags")
    });
    Ok(Offer {
        names: names.collect::<Result<_>>()?,
        manifest: None,
        configuration,
        layers: layers.collect::<Result<_>>()?,
    })
}
