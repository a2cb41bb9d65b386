//! Images by name and tag: the `index.json` of an image layout, with the name as an
//! annotation.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context, Result};
use kit::Failure;
use oci_spec::image::{Descriptor, ImageIndex, MediaType};

use super::Store;
use crate::digest::Digest;
use crate::reference::{Named, Reference};

/// OCI image specification, "Pre-Defined Annotation Keys".
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Ours: the image's id, which is the digest of its configuration, and the bytes of its
/// files.
const IMAGE_ID: &str = "kiste.image-id";
const SIZE: &str = "kiste.size";

/// An image as the index has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tagged {
    /// None for one that has lost its name to another.
    pub(crate) reference: Option<Reference>,
    pub(crate) manifest: Digest,
    pub(crate) id: Digest,
    /// Bytes of all files of all layers.
    pub(crate) size: u64,
}

/// All images of a store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    images: Vec<Tagged>,
}

impl Store {
    /// The images, in order of their names.
    pub(crate) fn index(&self) -> Result<Index> {
        let path = self.path().join("index.json");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Index::default());
            }
            text => text.with_context(|| format!("read {}", path.display()))?,
        };
        let damaged = |why: String| {
            Failure::new(format_args!("{}: {why}", path.display()))
                .hint("the store's list of images is damaged")
        };
        let index: ImageIndex =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        let images = index.manifests().iter().map(tagged).collect::<Result<_>>();
        Ok(Index { images: images.map_err(|error| damaged(format!("{error:#}")))? })
    }

    /// Changes the names, while nobody else does.
    pub(crate) fn change_index<T>(
        &self,
        change: impl FnOnce(&mut Index) -> Result<T>,
    ) -> Result<T> {
        let _lock = self.lock_names()?;
        let mut index = self.index()?;
        let outcome = change(&mut index)?;
        let manifests: Vec<Descriptor> = index
            .images
            .iter()
            .map(|image| self.descriptor(image))
            .collect::<Result<_>>()?;
        let document = layout_index(manifests);
        self.write_whole(
            &self.path().join("index.json"),
            &serde_json::to_vec(&document)?,
        )?;
        Ok(outcome)
    }

    fn descriptor(&self, image: &Tagged) -> Result<Descriptor> {
        let mut descriptor =
            manifest_descriptor(&image.manifest, self.size_of(&image.manifest)?)?;
        let mut annotations = HashMap::from([
            (IMAGE_ID.into(), image.id.to_string()),
            (SIZE.into(), image.size.to_string()),
        ]);
        annotations.extend(
            image.reference.iter().map(|name| (REF_NAME.to_string(), name.to_string())),
        );
        descriptor.set_annotations(Some(annotations));
        Ok(descriptor)
    }
}

/// A descriptor of an image's manifest.
pub(crate) fn manifest_descriptor(digest: &Digest, size: u64) -> Result<Descriptor> {
    let digest: oci_spec::image::Digest =
        digest.to_string().parse().map_err(Failure::new)?;
    Ok(Descriptor::new(MediaType::ImageManifest, size, digest))
}

/// The index of an image layout.
pub(crate) fn layout_index(manifests: Vec<Descriptor>) -> ImageIndex {
    let mut index = ImageIndex::default();
    index.set_schema_version(2);
    index.set_media_type(Some(MediaType::ImageIndex));
    index.set_manifests(manifests);
    index
}

fn tagged(descriptor: &Descriptor) -> Result<Tagged> {
    let annotations = descriptor.annotations().clone().unwrap_or_default();
    let get = |key: &str| annotations.get(key).map(String::as_str);
    let reference = get(REF_NAME)
        .map(|name| name.parse::<Reference>().map_err(Failure::new))
        .transpose()?;
    Ok(Tagged {
        reference,
        manifest: descriptor.digest().to_string().parse()?,
        id: get(IMAGE_ID).unwrap_or_default().parse()?,
        size: get(SIZE).and_then(|size| size.parse().ok()).unwrap_or_default(),
    })
}

impl Index {
    /// All, in order of their names.
    pub(crate) fn images(&self) -> &[Tagged] {
        &self.images
    }

    /// Gives an image a name; who had it keeps none.
    pub(crate) fn name(&mut self, image: Tagged) {
        let Some(reference) = &image.reference else {
            if !self.images.iter().any(|it| it.manifest == image.manifest) {
                self.images.push(image);
            }
            return;
        };
        self.unname(reference);
        self.images
            .retain(|it| it.reference.is_some() || it.manifest != image.manifest);
        self.images.push(image);
        self.images.sort_by(|one, other| one.reference.cmp(&other.reference));
    }

    /// Takes a name away. The image stays, if by nothing but its id.
    fn unname(&mut self, reference: &Reference) {
        let Some(at) =
            self.images.iter().position(|it| it.reference.as_ref() == Some(reference))
        else {
            return;
        };
        let image = self.images.remove(at);
        self.name(Tagged { reference: None, ..image });
    }

    /// Finds one by its name, or by the beginning of its id.
    pub(crate) fn find(&self, named: &Named) -> Result<&Tagged> {
        let by_name = |wanted: &Reference| {
            self.images.iter().find(|it| it.reference.as_ref() == Some(wanted))
        };
        let reference = match named {
            Named::By(reference) => Some(reference.clone()),
            Named::Digits(digits) => digits.parse().ok(),
        };
        if let Some(found) = reference.as_ref().and_then(by_name) {
            return Ok(found);
        }
        let Named::Digits(digits) = named else { return Err(unknown(named)) };
        let mut found =
            self.images.iter().filter(|it| it.id.hex().starts_with(digits.as_str()));
        let first = found.next().ok_or_else(|| unknown(named))?;
        match found.any(|other| other.id != first.id) {
            true => {
                Err(Failure::new(format_args!("image {digits}: several ids begin so"))
                    .hint("give more of its digits")
                    .into())
            }
            false => Ok(first),
        }
    }

    /// Removes one name; or, by its id, an image with all its names. Returns what was
    /// removed.
    pub(crate) fn remove(&mut self, named: &Named) -> Result<Vec<Tagged>> {
        let found = self.find(named)?.clone();
        let by_name = found.reference.as_ref().is_some_and(|name| match named {
            Named::By(wanted) => name == wanted,
            Named::Digits(digits) => {
                digits.parse().is_ok_and(|wanted: Reference| *name == wanted)
            }
        });
        let goes = |it: &Tagged| if by_name { *it == found } else { it.id == found.id };
        let (gone, kept) = self.images.drain(..).partition(goes);
        self.images = kept;
        Ok(gone)
    }
}

fn unknown(named: &Named) -> anyhow::Error {
    let failure = Failure::new(format_args!(
        "image {named}: there is none of this name in the store"
    ));
    failure
        .hint("`images` lists them; `import` and `load` bring new ones; --store names another store")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: Option<&str>, of: &str) -> Tagged {
        let digest = Digest::of(of.as_bytes());
        let reference = name.map(|name| name.parse().unwrap());
        Tagged { reference, manifest: digest, id: digest, size: 1 }
    }

    #[test]
    fn an_image_that_loses_its_last_name_stays_once_until_it_has_one_again() {
        let mut index = Index::default();
        for (name, of) in [("web", "one"), ("www", "one"), ("web", "two")] {
            index.name(image(Some(name), of));
        }
        assert_eq!(
            index.images(),
            [image(Some("web"), "two"), image(Some("www"), "one")]
        );
        index.name(image(Some("www"), "two"));
        index.name(image(None, "one"));
        let both = [image(Some("web"), "two"), image(Some("www"), "two")];
        assert_eq!(index.images(), [&[image(None, "one")], &both[..]].concat());
        index.name(image(Some("old"), "one"));
        assert_eq!(index.images(), [&[image(Some("old"), "one")], &both[..]].concat());
    }
}
