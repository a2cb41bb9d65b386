//! The sources of `load`: a file or a directory in one of three formats.
//!
//! - OCI image layout, which skopeo, umoci and buildah write: `index.json`, `blobs/`.
//! - docker-archive, which `docker save` and `podman save` write: `manifest.json`.
//! - `dir:`, which skopeo and podman write: `manifest.json`, the manifest of one
//!   image.

mod docker;
mod input;
mod layout;
mod listing;
mod members;
mod platform;
mod union;

use std::io::Read;

use anyhow::{Context, Result, ensure};
use kit::Failure;

use crate::compression::decompress_xz_and_bzip2;
use crate::digest::Digest;
use crate::layer::IncomingLayer;
use crate::reference::Reference;

pub(crate) use input::open_input;
pub(crate) use members::Members;
pub(crate) use platform::architecture;

/// An image that can be loaded.
pub(crate) struct Offer<'a> {
    pub(crate) names: Vec<Reference>,
    /// The bytes of the manifest; a docker-archive has none.
    pub(crate) manifest: Option<Vec<u8>>,
    pub(crate) configuration: Vec<u8>,
    /// The layers; None if the manifest does not list them.
    layers: Option<Vec<IncomingLayer<'a>>>,
    /// How well it fits this machine: 0 is best.
    rank: u32,
}

impl<'a> Offer<'a> {
    pub(crate) fn layers(&self) -> &[IncomingLayer<'a>] {
        self.layers.as_deref().unwrap_or_default()
    }
}

/// Finds the images of a source.
pub(crate) fn offers<'a>(members: &'a Members) -> Result<Vec<Offer<'a>>> {
    let is_layout = members.has("index.json") && members.has("oci-layout");
    let has_manifest = members.has("manifest.json");
    ensure!(
        is_layout || has_manifest,
        Failure::new(format_args!("{}: there is no image in it", members.name())).hint(
            "`load` takes what `save` wrote; for a root file system use `import`"
        )
    );
    let is_list = has_manifest
        && members.document("manifest.json")?.trim_ascii_start().starts_with(b"[");
    if !is_layout && !is_list {
        return layout::dir_offers(members);
    }
    // The layout comes first, since it has a digest of every file.
    let offers = if is_layout { layout::offers(members)? } else { Vec::new() };
    let listed = if is_list { docker::offers(members)? } else { Vec::new() };
    let offers = union::union(offers, listed)?;
    ensure!(
        !offers.is_empty(),
        Failure::new(format_args!("{}: there is no image in it", members.name()))
    );
    Ok(offers)
}

/// Makes a layer of a file of the source.
fn incoming_layer<'a>(
    members: &'a Members,
    member: String,
    digest: Option<Digest>,
    diff_id: Digest,
) -> Result<IncomingLayer<'a>> {
    members.count_layer()?;
    let size = Some(members.open(&member)?.length());
    let name = digest.unwrap_or(diff_id).hex();
    let name = format!("layer {}", &name[..12]);
    let open = move || -> Result<Box<dyn Read + Send + 'a>> {
        let archive = members.open(&member)?;
        match digest {
            // A layer that a manifest lists stays as it is.
            Some(_) => Ok(Box::new(archive)),
            None => decompress_xz_and_bzip2(archive).context("read the archive"),
        }
    };
    Ok(IncomingLayer {
        name,
        size,
        digest,
        diff_id: Some(diff_id),
        open: Box::new(open),
    })
}
