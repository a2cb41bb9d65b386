//! The sources of `load`: a file or a directory in one of two formats.
//!
//! - OCI image layout, which skopeo, umoci and buildah write: `index.json`, `blobs/`.
//! - docker-archive, which `docker save` and `podman save` write: `manifest.json`.

mod docker;
mod input;
mod layout;
mod listing;
mod members;

use std::io::Read;

use anyhow::{Result, bail};
use kit::Failure;

use crate::digest::Digest;
use crate::layer::IncomingLayer;
use crate::reference::Reference;

pub(crate) use input::open_input;
pub(crate) use layout::architecture;
pub(crate) use members::Members;

/// An image that can be loaded.
pub(crate) struct Offer<'a> {
    pub(crate) names: Vec<Reference>,
    /// The bytes of the manifest; a docker-archive has none.
    pub(crate) manifest: Option<Vec<u8>>,
    pub(crate) configuration: Vec<u8>,
    pub(crate) layers: Vec<IncomingLayer<'a>>,
}

/// Finds the images of a source.
pub(crate) fn offers<'a>(members: &'a Members) -> Result<Vec<Offer<'a>>> {
    // Docker writes both formats into one archive. The layout comes first, since it has a
    // digest of every file.
    if members.has("index.json") && members.has("oci-layout") {
        return layout::offers(members);
    }
    if members.has("manifest.json") {
        return docker::offers(members);
    }
    bail!(
        Failure::new(format_args!("{}: there is no image in it", members.name())).hint(
            "`load` takes what `save` wrote; for a root file system use `import`"
        )
    )
}

/// Makes a layer of a file of the source.
fn incoming<'a>(
    members: &'a Members,
    member: String,
    digest: Option<Digest>,
    diff_id: Digest,
) -> Result<IncomingLayer<'a>> {
    let size = Some(members.open(&member)?.length());
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
