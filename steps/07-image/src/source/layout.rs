//! OCI image layout: see the OCI image specification, "Image Layout".

use anyhow::{Context, Result};
use kit::Failure;
use oci_spec::image::{Descriptor, ImageManifest};

use super::{Members, Offer, incoming};
use crate::digest::Digest;
use crate::document::{self, Document};
use crate::image::diff_ids;
use crate::reference::Reference;

/// The annotations with an image's name: the one that containerd and Docker read, and
/// the specification's.
const NAMES: [&str; 2] =
    ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// The most indexes that may be nested: an index may list other indexes.
const DEEPEST: usize = 3;

pub(super) fn offers(members: &Members) -> Result<Vec<Offer<'_>>> {
    let layout: serde_json::Value =
        serde_json::from_slice(&members.document("oci-layout")?).map_err(|error| {
            Failure::new(format_args!("{}: oci-layout: {error}", members.name()))
        })?;
    if layout.get("imageLayoutVersion").and_then(serde_json::Value::as_str)
        != Some("1.0.0")
    {
        return Err(Failure::new(format_args!(
            "{}: it is no image layout of version 1.0.0",
            members.name()
        ))
        .into());
    }
    let Document::Index(index) =
        Document::parse(&members.document("index.json")?, "index.json")?
    else {
        return Err(Failure::new("index.json: it is no index").into());
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
    if found.is_empty() {
        let text = format!("{}: it has no image for {}", members.name(), platform());
        return Err(Failure::new(text).into());
    }
    Ok(found.into_iter().map(|(_, offer)| offer).collect())
}

/// Returns the name of an image, if it has a valid one.
fn names(descriptor: &Descriptor) -> Vec<Reference> {
    let annotations = descriptor.annotations().as_ref();
    let name = NAMES.iter().find_map(|key| annotations?.get(*key));
    name.and_then(|name| name.parse().ok()).into_iter().collect()
}

/// Returns the manifest that a descriptor leads to: of an index, the first for this
/// machine.
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
    let says_index =
        media_type.contains("index") || media_type.contains("manifest.list");
    if says_index != matches!(document, Document::Index(_)) {
        // A program that trusts the media type would see another image than a program
        // that looks at the document (CVE-2021-41190).
        return Err(Failure::new(format_args!(
            "{digest}: it is listed as {media_type:?}, and is no such manifest"
        ))
        .into());
    }
    match document {
        Document::Manifest(_) => Ok(Some((digest, bytes))),
        Document::Index(_) if depth == DEEPEST => Err(Failure::new(format_args!(
            "{digest}: an index in an index in an index"
        ))
        .into()),
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

/// Tells whether a descriptor is for this machine. Without a platform it is for every
/// machine; the platform of buildkit's attestations is `unknown`.
fn is_for_us(descriptor: &Descriptor) -> bool {
    let Some(platform) = descriptor.platform() else { return true };
    platform.os().to_string() == "linux"
        && platform.architecture().to_string() == architecture()
}

/// Returns this machine's architecture as images name it: by Go's names.
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

fn platform() -> String {
    format!("linux/{}", architecture())
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
        let digest: Digest = descriptor.digest().to_string().parse()?;
        let member = member(&digest);
        let size = members.open(&member)?.length();
        if size != descriptor.size() {
            let text = format!(
                "layer {digest}: it has {size} bytes, and not {}",
                descriptor.size()
            );
            return Err(Failure::new(text).into());
        }
        incoming(members, member, Some(digest), diff_id)
    };
    let layers =
        manifest.layers().iter().zip(diff_ids).map(layer).collect::<Result<_>>()?;
    Ok(Offer { names, manifest: Some(bytes), configuration, layers })
}

fn member(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Reads a document, and verifies its digest and its size.
fn blob(members: &Members, descriptor: &Descriptor) -> Result<(Digest, Vec<u8>)> {
    let digest: Digest = descriptor.digest().to_string().parse()?;
    let bytes = members.document(&member(&digest))?;
    digest_and_size(&bytes, &digest, descriptor.size())?;
    Ok((digest, bytes))
}

fn digest_and_size(bytes: &[u8], digest: &Digest, size: u64) -> Result<()> {
    Digest::of(bytes).verify(&member(digest), digest)?;
    if bytes.len() as u64 == size {
        return Ok(());
    }
    Err(Failure::new(format_args!(
        "{digest}: it has {} bytes, and not {size}",
        bytes.len()
    ))
    .into())
}
