//! An image of the store: its manifest, its configuration, its layers.

use anyhow::Result;
use kit::Failure;
use oci_spec::image::{ImageConfiguration, ImageManifest};

use crate::digest::{Digest, chain_ids};
use crate::document::{self, Document};
use crate::reference::ImageName;
use crate::store::{Store, Tagged};

/// An image that is there, with all its documents.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) tagged: Tagged,
    pub(crate) manifest: ImageManifest,
    pub(crate) configuration: ImageConfiguration,
    /// What the configuration's bytes are: other programs know fields that we do not.
    pub(crate) configuration_bytes: Vec<u8>,
}

impl Image {
    /// Finds an image by its name or id.
    pub(crate) fn find(store: &Store, named: &ImageName) -> Result<Self> {
        let tagged = store.index()?.find(named)?.clone();
        Image::of(store, tagged)
    }

    /// Reads the documents of an image.
    pub(crate) fn of(store: &Store, tagged: Tagged) -> Result<Self> {
        let what = tagged.manifest.to_string();
        let Document::Manifest(manifest) =
            Document::parse(&store.document(&tagged.manifest)?, &what)?
        else {
            return Err(Failure::new(format_args!("{what}: it is no manifest")).into());
        };
        let configuration_bytes = store.document(&tagged.id)?;
        let configuration =
            document::configuration(&configuration_bytes, &tagged.id.to_string())?;
        Ok(Image { tagged, manifest, configuration, configuration_bytes })
    }

    /// The digests of its layers as archives, the lowest first.
    pub(crate) fn layers(&self) -> Result<Vec<Digest>> {
        self.manifest
            .layers()
            .iter()
            .map(|layer| layer.digest().to_string().parse())
            .collect()
    }

    /// The digests of its layers without compression, the lowest first.
    pub(crate) fn diff_ids(&self) -> Result<Vec<Digest>> {
        diff_ids(&self.configuration)
    }

    /// What its layers are called where they are unpacked, the lowest first.
    pub(crate) fn chain(&self) -> Result<Vec<Digest>> {
        Ok(chain_ids(&self.diff_ids()?))
    }

    /// The blobs that it is made of.
    pub(crate) fn blobs(&self) -> Result<Vec<Digest>> {
        let mut blobs = self.layers()?;
        blobs.extend([self.tagged.manifest, self.tagged.id]);
        Ok(blobs)
    }

    /// As people call it: by its name, or by its id.
    pub(crate) fn called(&self) -> String {
        called(&self.tagged)
    }
}

/// As people call an image.
pub(crate) fn called(tagged: &Tagged) -> String {
    tagged.reference.as_ref().map_or_else(|| tagged.id.to_string(), ToString::to_string)
}

/// The digests of the layers that a configuration lists.
pub(crate) fn diff_ids(configuration: &ImageConfiguration) -> Result<Vec<Digest>> {
    configuration.rootfs().diff_ids().iter().map(|diff_id| diff_id.parse()).collect()
}
