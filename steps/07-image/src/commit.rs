//! `--commit`: what a container has written becomes one more layer of its image.

use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use kit::Failure;
use serde_json::{Value, json};

use crate::container::Container;
use crate::digest::{Digest, Hashing};
use crate::document;
use crate::image::Image;
use crate::layer::{Incoming, Kept, take_in};
use crate::load;
use crate::pack::{As, pack};
use crate::reference::Reference;
use crate::store::{Store, Tagged};

/// Keeps what a container has written.
pub(crate) fn commit(
    store: &Store,
    container: &Container,
    image: &Image,
    name: &Reference,
    command: &str,
) -> Result<()> {
    let _shared = store.share()?;
    let place = store.temporary()?;
    // First the archive, by the whole road that every other layer comes on.
    let path = place.path().join("layer.tar.gz");
    let file = std::fs::File::create_new(&path)
        .with_context(|| format!("open({})", path.display()))?;
    let compressed = GzEncoder::new(BufWriter::new(file), Compression::default());
    let packed = pack(
        &container.upper(),
        As::Layer,
        store.room()?.bytes,
        Hashing::new(compressed),
    )?;
    let (diff_id, _, compressed) = packed.finish();
    compressed
        .finish()
        .context("write the layer")?
        .into_inner()
        .map_err(|error| error.into_error())
        .context("write the layer")?;

    let configuration = extended(image, &diff_id, command)?;
    let (layer, bytes) = add_layer(store, &path, &diff_id, image)?;
    let id = store.add_document(&configuration)?;
    let mut manifest: Value = serde_json::to_value(&image.manifest)?;
    manifest["config"]["digest"] = id.to_string().into();
    manifest["config"]["size"] = configuration.len().into();
    let layers =
        manifest["layers"].as_array_mut().context("a manifest without layers")?;
    layers.push(
        json!({ "mediaType": layer.media_type, "digest": layer.digest.to_string(), "size": layer.size }),
    );
    let manifest = store.add_document(&serde_json::to_vec(&manifest)?)?;
    let size = image.tagged.size + bytes;
    load::name(
        store,
        Tagged { reference: None, manifest, id, size },
        vec![name.clone()],
    )
    .map(drop)
}

/// The new layer, and the bytes of its files.
fn add_layer(
    store: &Store,
    path: &Path,
    diff_id: &Digest,
    image: &Image,
) -> Result<(Kept, u64)> {
    let open =
        || Ok(Box::new(std::fs::File::open(path)?) as Box<dyn std::io::Read + Send>);
    let incoming = Incoming {
        name: "layer".into(),
        size: None,
        digest: None,
        diff_id: Some(*diff_id),
        open: Box::new(open),
    };
    let mut layers = take_in(store, &image.chain()?, &[incoming])?;
    let layer = layers.kept.pop().ok_or_else(|| Failure::new("a layer got lost"))?;
    Ok((layer, layers.bytes))
}

/// The image's configuration with one layer more. Fields that we do not know stay as
/// they are.
fn extended(image: &Image, diff_id: &Digest, command: &str) -> Result<Vec<u8>> {
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
