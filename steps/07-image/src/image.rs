//! An image of the store: its manifest, its configuration, its layers.

use anyhow::{Result, bail};
use kit::Failure;
use oci_spec::image::{ImageConfiguration, ImageManifest};

use crate::digest::{Digest, chain_ids};
use crate::document::{self, Document};
use crate::reference::ImageName;
use crate::store::{Store, TaggedImage};

/// An image of the store, with its documents.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) tagged: TaggedImage,
    pub(crate) manifest: ImageManifest,
    pub(crate) configuration: ImageConfiguration,
    /// The bytes of the configuration, which may have unknown fields.
    pub(crate) configuration_bytes: Vec<u8>,
}

impl Image {
    /// Finds an image by its name or id.
    pub(crate) fn find(store: &Store, name: &ImageName) -> Result<Self> {
        let tagged = store.index()?.find(name)?.clone();
        Image::read(store, tagged)
    }

    /// Reads the documents of an image.
    ///
    /// # Errors
    /// When one of them is damaged or missing.
    pub(crate) fn read(store: &Store, tagged: TaggedImage) -> Result<Self> {
        let (name, id) = (tagged.display_name(), tagged.id.hex());
        Image::read_documents(store, tagged).map_err(|error| {
            let error = error.context(format!("image {name} is damaged"));
            let hint = format!(
                "`load` it again to repair it, or remove it: `rmi {}`",
                &id[..12]
            );
            Failure::of(&error).hint(hint).into()
        })
    }

    fn read_documents(store: &Store, tagged: TaggedImage) -> Result<Self> {
        let digest = tagged.manifest.to_string();
        let Document::Manifest(manifest) =
            Document::parse(&store.document(&tagged.manifest)?, &digest)?
        else {
            bail!(Failure::new(format_args!("{digest}: it is no manifest")));
        };
        let configuration_bytes = store.document(&tagged.id)?;
        let configuration =
            document::configuration(&configuration_bytes, &tagged.id.to_string())?;
        Ok(Image { tagged, manifest, configuration, configuration_bytes })
    }

    /// Returns the digests of its layers' archives, the lowest first.
    pub(crate) fn archives(&self) -> Result<Vec<Digest>> {
        let layers = self.manifest.layers().iter();
        layers.map(|layer| layer.digest().as_ref().parse()).collect()
    }

    /// Returns the chain ids of its layers, the lowest first: the names of the unpacked
    /// layers in the store.
    pub(crate) fn chain_ids(&self) -> Result<Vec<Digest>> {
        Ok(chain_ids(&diff_ids(&self.configuration)?))
    }

    /// Returns the digests of its blobs: manifest, configuration and layers.
    pub(crate) fn blobs(&self) -> Result<Vec<Digest>> {
        let mut blobs = self.archives()?;
        blobs.extend([self.tagged.manifest, self.tagged.id]);
        Ok(blobs)
    }
}

/// Returns the diff ids that a configuration lists: the digests of its layers without
/// compression, the lowest first.
pub(crate) fn diff_ids(configuration: &ImageConfiguration) -> Result<Vec<Digest>> {
    configuration.rootfs().diff_ids().iter().map(|diff_id| diff_id.parse()).collect()
}
