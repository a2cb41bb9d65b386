//! Where an image is loaded from: a file or a directory, in one of two forms.
//!
//! - An OCI image layout, as skopeo, umoci and buildah write it: `index.json`,
//!   `blobs/`.
//! - A docker-archive, as `docker save` and `podman save` write it: `manifest.json`.

mod docker;
mod layout;
mod members;

use std::io::Read;

use anyhow::Result;
use kit::Failure;

use crate::digest::Digest;
use crate::layer::IncomingLayer;
use crate::reference::Reference;

pub(crate) use layout::architecture;
pub(crate) use members::{Members, open_input};

/// An image that could be loaded.
pub(crate) struct Offer<'a> {
    pub(crate) names: Vec<Reference>,
    /// The manifest's bytes, where there is one.
    pub(crate) manifest: Option<Vec<u8>>,
    pub(crate) configuration: Vec<u8>,
    pub(crate) layers: Vec<IncomingLayer<'a>>,
}

/// The images that a source offers.
pub(crate) fn offers<'a>(members: &'a Members) -> Result<Vec<Offer<'a>>> {
    // `docker save` and `podman save` have both; the layout is the one with a digest
    // for everything.
    if members.has("index.json") && members.has("oci-layout") {
        return layout::offers(members);
    }
    if members.has("manifest.json") {
        return docker::offers(members);
    }
    let failure =
        Failure::new(format_args!("{}: there is no image in it", members.name()));
    Err(failure
        .hint("`load` takes what `save` wrote; for a root file system use `import`")
        .into())
}

/// One layer of an offer, which is a member of the source.
fn incoming<'a>(
    members: &'a Members,
    member: String,
    digest: Option<Digest>,
    diff_id: Digest,
) -> Result<IncomingLayer<'a>> {
    let size = Some(members.size(&member)?);
    let name = digest.unwrap_or(diff_id).hex();
    let name = format!("layer {}", &name[..12]);
    let open = move || -> Result<Box<dyn Read + Send + 'a>> {
        Ok(Box::new(members.open(&member)?))
    };
    Ok(IncomingLayer {
        name,
        size,
        digest,
        diff_id: Some(diff_id),
        open: Box::new(open),
    })
}
