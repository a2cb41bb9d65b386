//! OCI image layout: see the OCI image specification, "Image Layout".

use std::fmt::Display;

use anyhow::{Context, Result, bail, ensure};
use kit::Failure;
use oci_spec::image::{Descriptor, ImageManifest};

use super::{Members, Offer, incoming};
use crate::digest::Digest;
use crate::document::{self, Document};
use crate::image::diff_ids;
use crate::reference::Reference;

/// The annotations with an image's name: containerd's, which Docker reads, and the
/// specification's.
const NAMES: [&str; 2] =
    ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// The most indexes that may be nested.
const DEEPEST: usize = 3;

pub(super) fn offers(members: &Members) -> Result<Vec<Offer<'_>>> {
    let layout: serde_json::Value = members.json("oci-layout")?;
    ensure!(
        layout["imageLayoutVersion"] == "1.0.0",
        Failure::new(format_args!(
            "{}: it is no image layout of version 1.0.0",
            members.name()
        ))
    );
    let Document::Index(index) =
        Document::parse(&members.document("index.json")?, "index.json")?
    else {
        bail!(Failure::new("index.json: it is no index"));
    };
    let mut found: Vec<(Digest, Offer<'_>)> = Vec::new();
    for descriptor in index.manifests() {
        let Some((digest, manifest)) = manifest(members, descriptor, 0)? else {
            continue;
        };
        let names = names(descriptor);
        match found.iter_mut().find(|(earlier, _)| *earlier == digest) {
            Some((_, offer)) => offer.names.extend(names), // one image, two names
            None => found.push((
                digest,
                offer(members, names, manifest).with_context(|| digest.to_string())?,
            )),
        }
    }
    ensure!(
        !found.is_empty(),
        Failure::new(format_args!(
            "{}: it has no image for linux/{}",
            members.name(),
            architecture()
        ))
    );
    Ok(found.into_iter().map(|(_, offer)| offer).collect())
}

/// Returns the name of an image, if it has a valid one.
fn names(descriptor: &Descriptor) -> Vec<Reference> {
    let annotations = descriptor.annotations().as_ref();
    let name = NAMES.iter().find_map(|key| annotations?.get(*key));
    name.and_then(|name| name.parse().ok()).into_iter().collect()
}

/// Returns the manifest that a descriptor leads to. If it leads to an index, that is the
/// first manifest for this machine.
fn manifest(
    members: &Members,
    descriptor: &Descriptor,
    depth: usize,
) -> Result<Option<(Digest, Vec<u8>)>> {
    if !is_for_us(descriptor) {
        return Ok(None);
    }
    let (digest, bytes) = blob(members, descriptor)?;
    let document = Document::parse(&bytes, &digest.to_string())?;
    let media_type = descriptor.media_type().to_string();
    // A program that trusts the media type would see another image than a program that
    // looks at the document (CVE-2021-41190).
    ensure!(
        document::is_index_type(&media_type) == matches!(document, Document::Index(_)),
        Failure::new(format_args!(
            "{digest}: it is listed as {media_type:?}, and is no such manifest"
        ))
    );
    match document {
        Document::Manifest(_) => Ok(Some((digest, bytes))),
        Document::Index(_) if depth == DEEPEST => {
            let text = format!("{digest}: an index in an index in an index");
            bail!(Failure::new(text))
        }
        Document::Index(index) => {
            for descriptor in index.manifests() {
                if let Some(found) = manifest(members, descriptor, depth + 1)? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        }
    }
}

/// Tells whether a descriptor is for this machine. A descriptor without a platform is for
/// every machine. The platform of buildkit's attestations is `unknown`.
fn is_for_us(descriptor: &Descriptor) -> bool {
    let Some(platform) = descriptor.platform() else { return true };
    platform.os().to_string() == "linux"
        && platform.architecture().to_string() == architecture()
}

/// Returns this machine's architecture by Go's name, as images have it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

fn offer<'a>(
    members: &'a Members,
    names: Vec<Reference>,
    bytes: Vec<u8>,
) -> Result<Offer<'a>> {
    let manifest: ImageManifest = serde_json::from_slice(&bytes)?;
    let (_, configuration) = blob(members, manifest.config())?;
    let diff_ids =
        diff_ids(&document::configuration(&configuration, "its configuration")?)?;
    document::check_layer_count(manifest.layers().len(), diff_ids.len())?;
    let layer = |(descriptor, diff_id): (&Descriptor, Digest)| {
        let digest: Digest = descriptor.digest().as_ref().parse()?;
        let layer = incoming(members, digest.blob_path(), Some(digest), diff_id)?;
        let size = layer.size.unwrap_or_default();
        check_size(format_args!("layer {digest}"), size, descriptor)?;
        Ok(layer)
    };
    let layers =
        manifest.layers().iter().zip(diff_ids).map(layer).collect::<Result<_>>()?;
    Ok(Offer { names, manifest: Some(bytes), configuration, layers })
}

/// Reads a document, and verifies its digest and its size.
fn blob(members: &Members, descriptor: &Descriptor) -> Result<(Digest, Vec<u8>)> {
    let digest: Digest = descriptor.digest().as_ref().parse()?;
    let path = digest.blob_path();
    let bytes = members.document(&path)?;
    Digest::of(&bytes).verify(&path, &digest)?;
    check_size(format_args!("{digest}"), bytes.len() as u64, descriptor)?;
    Ok((digest, bytes))
}

fn check_size(what: impl Display, size: u64, descriptor: &Descriptor) -> Result<()> {
    let listed = descriptor.size();
    ensure!(
        size == listed,
        Failure::new(format_args!("{what}: it has {size} bytes, and not {listed}"))
    );
    Ok(())
}
