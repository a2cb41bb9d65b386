//! `save`: writes images as an OCI image layout in a tar archive, with the
//! `manifest.json` that `docker load` wants beside it.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;

use anyhow::{Context, Result};
use serde_json::json;

use crate::archive::{ArchiveWriter, Entry, EntryKind};
use crate::digest::{Digest, Hashing};
use crate::image::Image;
use crate::reference::ImageName;
use crate::store::{LAYOUT, Store, layout_index};

/// Writes images to an archive, each blob once.
pub(crate) fn save(
    store: &Store,
    names: &[ImageName],
    output: &mut dyn Write,
) -> Result<()> {
    let _shared = store.lock_shared()?;
    let images: Vec<Image> =
        names.iter().map(|name| Image::find(store, name)).collect::<Result<_>>()?;
    let mut archive = ArchiveWriter::new(output);
    add_document(&mut archive, "oci-layout", LAYOUT)?;
    let mut blobs = BTreeSet::new();
    for image in &images {
        blobs.extend(image.blobs()?);
    }
    for digest in &blobs {
        add_blob(&mut archive, store, digest)?;
    }
    let index = serde_json::to_vec(&index(store, &images)?)?;
    add_document(&mut archive, "index.json", &index)?;
    let manifest = serde_json::to_vec(&docker_manifest(&images)?)?;
    add_document(&mut archive, "manifest.json", &manifest)?;
    archive.finish().map(drop)
}

/// Makes the layout's index.json: the images' manifests, with their names.
fn index(store: &Store, images: &[Image]) -> Result<oci_spec::image::ImageIndex> {
    let descriptor = |image: &Image| {
        let mut descriptor = store.manifest_descriptor(&image.tagged.manifest)?;
        if let Some(name) = &image.tagged.reference {
            let annotations = [
                ("org.opencontainers.image.ref.name", name.to_string()),
                ("io.containerd.image.name", name.with_registry()),
            ]
            .map(|(key, name)| (key.to_string(), name));
            descriptor.set_annotations(Some(HashMap::from(annotations)));
        }
        Ok(descriptor)
    };
    Ok(layout_index(images.iter().map(descriptor).collect::<Result<_>>()?))
}

/// Makes the manifest.json of `docker save`.
fn docker_manifest(images: &[Image]) -> Result<serde_json::Value> {
    let to_entry = |image: &Image| {
        let names = image.tagged.reference.iter().map(ToString::to_string);
        Ok(json!({
            "Config": image.tagged.id.blob_path(),
            "RepoTags": names.collect::<Vec<_>>(),
            "Layers": image.archives()?.iter().map(Digest::blob_path).collect::<Vec<_>>(),
        }))
    };
    Ok(serde_json::Value::Array(images.iter().map(to_entry).collect::<Result<_>>()?))
}

/// Writes a document of the image layout.
fn add_document<W: Write>(
    archive: &mut ArchiveWriter<W>,
    name: &str,
    bytes: &[u8],
) -> Result<()> {
    archive.write_entry(&file_entry(name, bytes.len() as u64), bytes)
}

/// Writes a blob, and verifies its digest: a damaged blob is not passed on.
fn add_blob<W: Write>(
    archive: &mut ArchiveWriter<W>,
    store: &Store,
    digest: &Digest,
) -> Result<()> {
    let path = store.blob(digest);
    let name = || path.display().to_string();
    let blob = kit::open_regular(&path).with_context(|| format!("open({})", name()))?;
    let mut content = Hashing::new(blob);
    let entry = file_entry(&digest.blob_path(), store.size_of(digest)?);
    archive.write_entry(&entry, &mut content).with_context(name)?;
    content.finish().0.verify(&name(), digest)
}

fn file_entry(name: &str, size: u64) -> Entry {
    Entry { mode: 0o644, size, ..Entry::new(EntryKind::File, name.as_bytes()) }
}
