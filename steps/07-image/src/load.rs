//! `load` and `import`: make images of archives.

use std::path::Path;

use anyhow::{Context, Result};
use oci_spec::image::{ImageManifestBuilder, MediaType};
use serde_json::{Value, json};

use crate::compression::decompress_xz_and_bzip2;
use crate::digest::Digest;
use crate::document;
use crate::image::Image;
use crate::instruction::Instruction;
use crate::layer::IncomingLayer;
use crate::layers::{StoredLayers, add_layers, keep_layers, receive_layers};
use crate::reference::Reference;
use crate::source::{Members, Offer, architecture, offers, open_input};
use crate::store::{Store, TaggedImage};
use crate::unpack::{Count, LeftOut};

/// Loads all images of a file or directory, and calls `loaded` with each. `ids_hint`
/// says how to get more ids.
pub(crate) fn load(
    store: &Store,
    path: &Path,
    ids_hint: &str,
    loaded: impl Fn(&TaggedImage) -> Result<()>,
) -> Result<()> {
    store.remove_stale()?;
    // A pipe may take long: meanwhile other commands may remove images.
    let members = Members::open_source(path, store)?;
    let _shared = store.lock_shared()?;
    for offer in offers(&members)? {
        let tagged = load_offer(store, offer, ids_hint)
            .with_context(|| members.name().to_string())?;
        tagged.iter().try_for_each(&loaded)?;
    }
    Ok(())
}

fn load_offer(
    store: &Store,
    offer: Offer<'_>,
    ids_hint: &str,
) -> Result<Vec<TaggedImage>> {
    let tagged = match find_loaded(store, &offer)? {
        Some(loaded) => TaggedImage { reference: None, ..loaded },
        None => {
            let layers = add_layers(store, &[], offer.layers())?;
            report_left_out(&layers.left_out, ids_hint);
            add_documents(store, &offer.configuration, offer.manifest, &layers)?
        }
    };
    add_names(store, tagged, offer.names)
}

/// Finds an offered image in the store, if it is complete there.
fn find_loaded(store: &Store, offer: &Offer<'_>) -> Result<Option<TaggedImage>> {
    let id = Digest::of(&offer.configuration);
    let wanted = offer.manifest.as_ref().map(|bytes| Digest::of(bytes));
    let index = store.index()?;
    let is_offered = |image: &&TaggedImage| {
        image.id == id && wanted.is_none_or(|wanted| image.manifest == wanted)
    };
    let found = index.images().iter().find(is_offered);
    Ok(found.filter(|it| is_complete(store, it).is_ok_and(|yes| yes)).cloned())
}

/// Tells whether the store has all documents and layers of an image, undamaged as far
/// as can be told without reading the layers.
fn is_complete(store: &Store, image: &TaggedImage) -> Result<bool> {
    let image = Image::read(store, image.clone())?;
    let (chain, archives) = (image.chain_ids()?, image.archives()?);
    let mut layers = chain.iter().zip(&archives);
    Ok(layers.all(|(id, archive)| {
        let record = store.complete_layer(id);
        record.is_some_and(|it| it.digest().is_ok_and(|digest| digest == *archive))
    }))
}

/// Lists an image by these names; if there is none, by its id alone.
pub(crate) fn add_names(
    store: &Store,
    image: TaggedImage,
    names: Vec<Reference>,
) -> Result<Vec<TaggedImage>> {
    let mut tagged: Vec<TaggedImage> = names
        .into_iter()
        .map(|name| TaggedImage { reference: Some(name), ..image.clone() })
        .collect();
    if tagged.is_empty() {
        tagged.push(image);
    }
    store.change_index(|index| {
        tagged.iter().cloned().for_each(|image| index.insert(image));
        Ok(())
    })?;
    Ok(tagged)
}

/// The name and the configuration of an image that is made of a root file system.
pub(crate) struct Description {
    /// Its name; without one, it is known by its id alone.
    pub(crate) name: Option<Reference>,
    /// Changes of its configuration.
    pub(crate) changes: Vec<Instruction>,
    /// A comment in its history.
    pub(crate) comment: Option<String>,
}

/// Imports a root file system as an image of one layer, and returns the image's id.
pub(crate) fn import(
    store: &Store,
    path: &Path,
    description: Description,
    ids_hint: &str,
) -> Result<Digest> {
    store.remove_stale()?;
    let input = open_input(path)?;
    let size =
        input.metadata().ok().filter(|found| found.is_file()).map(|found| found.len());
    let open = || {
        let input = input.try_clone().context("dup(the archive)")?;
        decompress_xz_and_bzip2(input).context("read the archive")
    };
    let incoming = IncomingLayer {
        name: path.display().to_string(),
        size,
        digest: None,
        diff_id: None,
        open: Box::new(open),
    };
    // A pipe may take long: meanwhile other commands may remove images.
    let received = receive_layers(store, &[], &[incoming])?;
    let _shared = store.lock_shared()?;
    let layers = keep_layers(store, &[], received)?;
    report_left_out(&layers.left_out, ids_hint);
    let configuration = new_configuration(path, &description, &layers);
    let added =
        add_documents(store, &serde_json::to_vec(&configuration)?, None, &layers)?;
    let id = added.id;
    add_names(store, added, Vec::from_iter(description.name))?;
    Ok(id)
}

/// Makes the configuration of an image that was imported from this path.
fn new_configuration(
    path: &Path,
    description: &Description,
    layers: &StoredLayers,
) -> Value {
    let file_name = path.file_name().unwrap_or(path.as_os_str()).display();
    let mut config = json!({});
    description.changes.iter().for_each(|change| change.apply(&mut config));
    let mut history = json!({
        "created": document::now(), "created_by": format!("import {file_name}"),
    });
    if let Some(comment) = &description.comment {
        history["comment"] = json!(comment);
    }
    json!({
        "created": document::now(),
        "architecture": architecture(),
        "os": "linux",
        "config": config,
        "rootfs": { "type": "layers", "diff_ids": layers.diff_ids },
        "history": [history],
    })
}

/// Adds the documents of an image whose layers are in the store, and makes the manifest if
/// there is none.
fn add_documents(
    store: &Store,
    configuration: &[u8],
    manifest: Option<Vec<u8>>,
    layers: &StoredLayers,
) -> Result<TaggedImage> {
    let manifest = match manifest {
        Some(bytes) => bytes,
        None => new_manifest(configuration, layers)?,
    };
    let id = store.add_document(configuration)?;
    let manifest = store.add_document(&manifest)?;
    Ok(TaggedImage { reference: None, manifest, id, size: layers.bytes })
}

fn new_manifest(configuration: &[u8], layers: &StoredLayers) -> Result<Vec<u8>> {
    let size = configuration.len() as u64;
    let config = Digest::of(configuration).descriptor(MediaType::ImageConfig, size)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers(layers.descriptors.clone())
        .build()?;
    Ok(serde_json::to_vec(&manifest)?)
}

/// Reports the parts of an archive that were not unpacked exactly as they are.
fn report_left_out(left_out: &LeftOut, ids_hint: &str) {
    let LeftOut { owners, devices, attributes, absolute } = left_out;
    let note = |count: &Count, what: &str| {
        if count.number > 0 {
            kit::notice(format_args!(
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
    note(absolute, "names begin with /; they are taken below the top");
    if owners.number > 0 {
        kit::notice(format_args!("hint: {ids_hint}"));
    }
}
