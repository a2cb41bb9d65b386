//! OCI image layout: see the OCI image specification, "Image Layout". The directories
//! of skopeo's `dir:` have the same documents by other names.

use std::fmt::Display;

use anyhow::{Context, Result, bail, ensure};
use kit::Failure;
use oci_spec::image::{Descriptor, ImageManifest};

use super::platform::{self, architecture};
use super::{Members, Offer, incoming_layer};
use crate::digest::Digest;
use crate::document::{self, Document};
use crate::image::diff_ids;
use crate::limits::MOST_NESTED;
use crate::reference::Reference;

/// The annotations with an image's name: containerd's, which Docker reads, and the
/// specification's.
const NAMES: [&str; 2] =
    ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// A source of documents, by their digests.
struct Documents<'a> {
    members: &'a Members,
    manifest_path: fn(&Digest) -> String,
    blob_path: fn(&Digest) -> String,
}

/// The manifests that a descriptor leads to.
#[derive(Default)]
struct Found<'a> {
    offers: Vec<(Digest, Offer<'a>)>,
    /// The first manifest of something else than an image: a signature, a chart.
    artifact: Option<Digest>,
    artifacts: usize,
    /// The error of the first manifest that is missing.
    missing: Option<anyhow::Error>,
}

pub(super) fn offers(members: &Members) -> Result<Vec<Offer<'_>>> {
    let layout: serde_json::Value = members.json("oci-layout")?;
    ensure!(
        layout["imageLayoutVersion"] == "1.0.0",
        Failure::new(format_args!(
            "{}: it is no image layout of version 1.0.0",
            members.name()
        ))
    );
    let index = members.document("index.json")?;
    let Document::Index(index) = Document::parse(&index, "index.json")? else {
        bail!(Failure::new("index.json: it is no index"));
    };
    let documents = Documents {
        members,
        manifest_path: Digest::blob_path,
        blob_path: Digest::blob_path,
    };
    let (mut offers, mut artifacts) = (Vec::<(Digest, Offer<'_>)>::new(), (0, None));
    for descriptor in index.manifests() {
        let mut found = Found::default();
        documents.find(descriptor, 0, &mut found)?;
        artifacts = (artifacts.0 + found.artifacts, artifacts.1.or(found.artifact));
        let Some((digest, mut offer)) = found.best()? else { continue };
        offer.names = names(descriptor);
        match offers.iter_mut().find(|(earlier, _)| *earlier == digest) {
            Some((_, earlier)) => earlier.names.extend(offer.names),
            None => offers.push((digest, offer)),
        }
    }
    let is_useless = offers.is_empty() && !index.manifests().is_empty();
    ensure!(
        !is_useless || members.has("manifest.json"),
        no_image(members, artifacts.0)
    );
    if let (count, Some(first)) = artifacts {
        kit::notice(format_args!(
            "note: {count} artifacts that are no images are left out, the first: {first}"
        ));
    }
    Ok(offers.into_iter().map(|(_, offer)| offer).collect())
}

/// Finds the image of a directory of skopeo's `dir:`, which has no name.
pub(super) fn dir_offers(members: &Members) -> Result<Vec<Offer<'_>>> {
    let documents = Documents {
        members,
        manifest_path: |digest| format!("{}.manifest.json", digest.hex()),
        blob_path: Digest::hex,
    };
    let bytes = members.document("manifest.json")?;
    let mut found = Found::default();
    documents.read(Digest::of(&bytes), bytes, 0, &mut found)?;
    let artifacts = found.artifacts;
    let offer = found.best()?.with_context(|| no_image(members, artifacts))?.1;
    Ok(vec![offer])
}

/// Makes the error for a source without an image.
fn no_image(members: &Members, artifacts: usize) -> Failure {
    let why = format!("it has no image for linux/{}", architecture());
    let why = match artifacts {
        0 => why,
        _ => format!("{why}; {artifacts} artifacts in it are no images"),
    };
    Failure::new(format_args!("{}: {why}", members.name()))
}

/// Returns the name of an image, if it has a valid one.
fn names(descriptor: &Descriptor) -> Vec<Reference> {
    let annotations = descriptor.annotations().as_ref();
    let name = NAMES.iter().find_map(|key| annotations?.get(*key));
    name.and_then(|name| name.parse().ok()).into_iter().collect()
}

impl<'a> Found<'a> {
    /// Returns the best image for this machine, of equal ones the first.
    fn best(self) -> Result<Option<(Digest, Offer<'a>)>> {
        let best = self.offers.into_iter().min_by_key(|(_, offer)| offer.rank);
        match (best, self.missing) {
            (None, Some(missing)) if self.artifacts == 0 => Err(missing),
            (best, _) => Ok(best),
        }
    }
}

impl<'a> Documents<'a> {
    /// Finds the images for this machine that a descriptor leads to, directly or by an
    /// index.
    fn find(
        &self,
        descriptor: &Descriptor,
        depth: usize,
        found: &mut Found<'a>,
    ) -> Result<()> {
        if !platform::is_ours(descriptor) {
            return Ok(());
        }
        let digest: Digest = descriptor.digest().as_ref().parse()?;
        let path = (self.manifest_path)(&digest);
        // An index may list manifests that the source does not have.
        if let Err(error) = self.members.open(&path) {
            found.missing.get_or_insert(error);
            return Ok(());
        }
        let bytes = self.blob(&path, &digest, descriptor)?;
        let media_type = descriptor.media_type().to_string();
        let document = Document::parse(&bytes, &digest.to_string())?;
        // A program that trusts the media type would see another image than a program
        // that looks at the document (CVE-2021-41190).
        ensure!(
            document::is_index_type(&media_type)
                == matches!(document, Document::Index(_)),
            Failure::new(format_args!(
                "{digest}: it is listed as {media_type:?}, and is no such manifest"
            ))
        );
        let before = found.offers.len();
        self.read(digest, bytes, depth, found)?;
        for (_, offer) in &mut found.offers[before..] {
            offer.rank = offer.rank.max(platform::rank_descriptor(descriptor));
        }
        Ok(())
    }

    /// Reads a manifest or an index.
    fn read(
        &self,
        digest: Digest,
        bytes: Vec<u8>,
        depth: usize,
        found: &mut Found<'a>,
    ) -> Result<()> {
        match Document::parse(&bytes, &digest.to_string())? {
            Document::Manifest(manifest) if document::is_artifact(&manifest) => {
                found.artifacts += 1;
                found.artifact.get_or_insert(digest);
            }
            Document::Manifest(manifest) => {
                let offer = self.offer(&manifest, bytes);
                found.offers.push((digest, offer.with_context(|| digest.to_string())?));
            }
            Document::Index(_) if depth == MOST_NESTED => {
                let text = format!("{digest}: an index in an index in an index");
                bail!(Failure::new(text))
            }
            Document::Index(index) => {
                for descriptor in index.manifests() {
                    self.find(descriptor, depth + 1, found)?;
                }
            }
        }
        Ok(())
    }

    fn offer(&self, manifest: &ImageManifest, bytes: Vec<u8>) -> Result<Offer<'a>> {
        let digest: Digest = manifest.config().digest().as_ref().parse()?;
        let path = (self.blob_path)(&digest);
        let configuration = self.blob(&path, &digest, manifest.config())?;
        let parsed = document::configuration(&configuration, "its configuration")?;
        let diff_ids = diff_ids(&parsed)?;
        let (listed, rank) = (manifest.layers(), platform::rank_configuration(&parsed));
        let names = Vec::new();
        // A release of Docker left out the layers; manifest.json may have them.
        if listed.is_empty() && self.members.has("manifest.json") {
            let layers = None;
            return Ok(Offer { names, manifest: None, configuration, layers, rank });
        }
        document::check_layer_count(listed.len(), diff_ids.len())?;
        let layer = |(descriptor, diff_id): (&Descriptor, Digest)| {
            let digest: Digest = descriptor.digest().as_ref().parse()?;
            let path = (self.blob_path)(&digest);
            let layer = incoming_layer(self.members, path, Some(digest), diff_id)?;
            let size = layer.size.unwrap_or_default();
            check_size(format_args!("layer {digest}"), size, descriptor)?;
            Ok(layer)
        };
        let layers = listed.iter().zip(diff_ids).map(layer).collect::<Result<_>>()?;
        let (manifest, layers) = (Some(bytes), Some(layers));
        Ok(Offer { names, manifest, configuration, layers, rank })
    }

    /// Reads a document, and verifies its digest and its size.
    fn blob(
        &self,
        path: &str,
        digest: &Digest,
        descriptor: &Descriptor,
    ) -> Result<Vec<u8>> {
        let bytes = self.members.document(path)?;
        Digest::of(&bytes).verify(path, digest)?;
        check_size(format_args!("{digest}"), bytes.len() as u64, descriptor)?;
        Ok(bytes)
    }
}

fn check_size(what: impl Display, size: u64, descriptor: &Descriptor) -> Result<()> {
    let listed = descriptor.size();
    ensure!(
        size == listed,
        Failure::new(format_args!("{what}: it has {size} bytes, and not {listed}"))
    );
    Ok(())
}
