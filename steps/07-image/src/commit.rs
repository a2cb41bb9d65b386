//! `--commit`: packs the files that a container has written as one more layer of its
//! image.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::container::Container;
use crate::digest::{Digest, Hashing};
use crate::document;
use crate::image::Image;
use crate::layer::IncomingLayer;
use crate::layers::add_layers;
use crate::load;
use crate::lower_layers::LowerLayers;
use crate::made_mount_points::find_made;
use crate::pack::{PackAs, pack};
use crate::reference::Reference;
use crate::store::{Store, TaggedImage};

/// Makes an image: a container's image, and the files that the container has written as
/// one more layer.
pub(crate) fn commit(
    store: &Store,
    container: &Container,
    image: &Image,
    name: &Reference,
    command: &str,
) -> Result<()> {
    let _shared = store.lock_shared()?;
    let temporary = store.temporary()?;
    let path = temporary.path().join("layer.tar.gz");
    let diff_id = write_archive(store, container, image, &path)?;
    let configuration = extend_configuration(image, &diff_id, command)?;
    let open = || Ok(Box::new(File::open(&path)?) as Box<dyn Read + Send>);
    let incoming = IncomingLayer {
        name: "layer".into(),
        size: None,
        digest: None,
        diff_id: Some(diff_id),
        open: Box::new(open),
    };
    let layers = add_layers(store, &image.chain_ids()?, &[incoming])?;
    let id = store.add_document(&configuration)?;
    let mut manifest = image.manifest.clone();
    let config_type = manifest.config().media_type().clone();
    manifest.set_config(id.descriptor(config_type, configuration.len() as u64)?);
    manifest.layers_mut().extend(layers.descriptors);
    let manifest = store.add_document(&serde_json::to_vec(&manifest)?)?;
    let size = image.tagged.size + layers.bytes;
    let tagged = TaggedImage { reference: None, manifest, id, size };
    load::add_names(store, tagged, vec![name.clone()]).map(drop)
}

/// Packs the upper directory into a compressed archive, and returns the digest without
/// compression.
fn write_archive(
    store: &Store,
    container: &Container,
    image: &Image,
    path: &Path,
) -> Result<Digest> {
    let layers = image.chain_ids()?;
    let layers: Vec<_> = layers.iter().map(|layer| store.layer(layer)).collect();
    let below = LowerLayers::open(&layers)?;
    let made = find_made(&container.upper(), &below, container.mount_points())?;
    let file =
        File::create_new(path).with_context(|| format!("open({})", path.display()))?;
    let compressed = GzEncoder::new(BufWriter::new(file), Compression::default());
    let largest = store.free_space()?.bytes;
    let content = Hashing::new(compressed);
    let packed = pack(&container.upper(), PackAs::Layer, &made, largest, content)?;
    let (diff_id, _, compressed) = packed.finish();
    let mut file = compressed.finish().context("write the layer")?;
    file.flush().context("write the layer")?;
    Ok(diff_id)
}

/// Adds a layer to the image's configuration. Unknown fields stay as they are.
fn extend_configuration(
    image: &Image,
    diff_id: &Digest,
    command: &str,
) -> Result<Vec<u8>> {
    let mut configuration: Value = serde_json::from_slice(&image.configuration_bytes)?;
    configuration["created"] = document::now().into();
    let diff_ids = configuration["rootfs"]["diff_ids"]
        .as_array_mut()
        .context("a configuration without layers")?;
    diff_ids.push(diff_id.to_string().into());
    if !configuration["history"].is_array() {
        configuration["history"] = json!([]);
    }
    let history = configuration["history"]
        .as_array_mut()
        .context("a configuration without a history")?;
    history.push(json!({ "created": document::now(), "created_by": command }));
    Ok(serde_json::to_vec(&configuration)?)
}
