//! `load` and `import`: archives become images of the store.

use std::path::Path;

use anyhow::{Context, Result};
use kit::program;
use oci_spec::image::{Descriptor, ImageManifest, MediaType};
use serde_json::json;

use crate::digest::{Digest, chain_ids};
use crate::document;
use crate::image::diff_ids;
use crate::layer::{IncomingLayer, StoredLayers, add_layers};
use crate::reference::Reference;
use crate::source::{Members, Offer, architecture, offers, open_input};
use crate::store::{Files, Store, Tagged, manifest_descriptor};
use crate::unpack::LeftOut;

/// Loads all images of a file or directory. `mend` says how to get ids that are not
/// mapped.
pub(crate) fn load(store: &Store, path: &Path, mend: &str) -> Result<Vec<Tagged>> {
    let _shared = store.share()?;
    store.sweep(Files::Kept)?;
    let members = Members::open_source(path, store)?;
    let mut loaded = Vec::new();
    for offer in offers(&members)? {
        loaded.extend(
            load_one(store, offer, mend).with_context(|| members.name().to_string())?,
        );
    }
    Ok(loaded)
}

fn load_one(store: &Store, offer: Offer<'_>, mend: &str) -> Result<Vec<Tagged>> {
    let diff_ids =
        diff_ids(&document::configuration(&offer.configuration, "its configuration")?)?;
    let known = known(store, &offer, &diff_ids)?;
    let (manifest, size) = match known {
        Some(known) => (known.manifest, known.size),
        None => {
            let layers = add_layers(store, &[], &offer.layers)?;
            tell(&layers.left_out, mend);
            let manifest = match offer.manifest {
                Some(bytes) => bytes,
                None => manifest(&offer.configuration, &layers)?,
            };
            store.add_blob(&offer.configuration)?;
            (store.add_blob(&manifest)?, layers.bytes)
        }
    };
    let id = Digest::of(&offer.configuration);
    name(store, Tagged { reference: None, manifest, id, size }, offer.names)
}

/// The same image, where the store has it already: nothing is unpacked twice.
fn known(
    store: &Store,
    offer: &Offer<'_>,
    diff_ids: &[Digest],
) -> Result<Option<Tagged>> {
    let id = Digest::of(&offer.configuration);
    let wanted = offer.manifest.as_ref().map(|bytes| Digest::of(bytes));
    let index = store.index()?;
    let is_it = |image: &&Tagged| {
        image.id == id && wanted.is_none_or(|wanted| image.manifest == wanted)
    };
    let is_unpacked =
        chain_ids(diff_ids).iter().all(|layer| store.layer(layer).is_dir());
    Ok(index.images().iter().find(is_it).filter(|_| is_unpacked).cloned())
}

/// Gives an image its names; without any, it is known by its id.
pub(crate) fn name(
    store: &Store,
    image: Tagged,
    names: Vec<Reference>,
) -> Result<Vec<Tagged>> {
    let mut tagged: Vec<Tagged> = names
        .into_iter()
        .map(|name| Tagged { reference: Some(name), ..image.clone() })
        .collect();
    if tagged.is_empty() {
        tagged.push(image);
    }
    store.change_index(|index| {
        tagged.iter().cloned().for_each(|image| index.name(image));
        Ok(())
    })?;
    Ok(tagged)
}

/// Imports a root file system as an image of one layer.
pub(crate) fn import(
    store: &Store,
    path: &Path,
    reference: Reference,
    mend: &str,
) -> Result<Tagged> {
    let _shared = store.share()?;
    store.sweep(Files::Kept)?;
    let input = open_input(path)?;
    let size =
        input.metadata().ok().filter(|found| found.is_file()).map(|found| found.len());
    let open = || {
        Ok(Box::new(input.try_clone().context("dup(the archive)")?)
            as Box<dyn std::io::Read + Send>)
    };
    let what = path.display().to_string();
    let incoming = IncomingLayer {
        name: what.clone(),
        size,
        digest: None,
        diff_id: None,
        open: Box::new(open),
    };
    let layers = add_layers(store, &[], &[incoming])?;
    tell(&layers.left_out, mend);
    let configuration = json!({
        "created": document::now(),
        "architecture": architecture(),
        "os": "linux",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": layers.layers.iter().map(|layer| layer.diff_id.to_string()).collect::<Vec<_>>() },
        "history": [{ "created": document::now(), "created_by": format!("import {}", path.file_name().unwrap_or(path.as_os_str()).display()) }],
    });
    let added = add(store, &serde_json::to_vec(&configuration)?, &layers)?;
    let named = name(store, added, vec![reference])?;
    named.into_iter().next().context("an image without a name")
}

/// Adds an image whose layers are in the store.
pub(crate) fn add(
    store: &Store,
    configuration: &[u8],
    layers: &StoredLayers,
) -> Result<Tagged> {
    let id = store.add_blob(configuration)?;
    let manifest = store.add_blob(&manifest(configuration, layers)?)?;
    Ok(Tagged { reference: None, manifest, id, size: layers.bytes })
}

/// The manifest of an image that came without one.
fn manifest(configuration: &[u8], layers: &StoredLayers) -> Result<Vec<u8>> {
    let mut config =
        manifest_descriptor(&Digest::of(configuration), configuration.len() as u64)?;
    config.set_media_type(MediaType::ImageConfig);
    let descriptors = layers.layers.iter().map(|layer| {
        let mut descriptor = manifest_descriptor(&layer.digest, layer.size)?;
        descriptor.set_media_type(layer.media_type.clone());
        Ok(descriptor)
    });
    let descriptors: Vec<Descriptor> = descriptors.collect::<Result<_>>()?;
    let manifest: ImageManifest = serde_json::from_value(json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest,
        "config": config,
        "layers": descriptors,
    }))?;
    Ok(serde_json::to_vec(&manifest)?)
}

/// Says what could not be had.
fn tell(left_out: &LeftOut, mend: &str) {
    let LeftOut { owners, devices, attributes } = left_out;
    let note = |count: &crate::unpack::Count, what: &str| {
        if count.number > 0 {
            program::say(format_args!(
                "note: {} {what}, the first: {}",
                count.number, count.first
            ));
        }
    };
    note(
        owners,
        "entries have owners that are not mapped here, and belong to you instead",
    );
    note(devices, "devices are left out, which only root may make");
    note(attributes, "attributes are left out, which cannot be set here");
    if owners.number > 0 {
        program::say(format_args!("hint: {mend}"));
    }
}
