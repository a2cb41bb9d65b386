//! Images by name and tag: the `index.json` of an image layout, with the name as an
//! annotation.

use std::collections::{HashMap, HashSet};
use std::fs;

use anyhow::{Context, Result, ensure};
use kit::{Failure, FailureKind};
use oci_spec::image::{Descriptor, ImageIndex, MediaType};

use super::Store;
use crate::digest::Digest;
use crate::reference::{ImageName, Reference, ambiguous_id, looks_like_id};

/// OCI image specification, "Pre-Defined Annotation Keys".
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Kiste's own annotations: the image's id, which is the digest of its configuration,
/// and the size of its files in bytes.
const IMAGE_ID: &str = "kiste.image-id";
const SIZE: &str = "kiste.size";

/// The file with the list of images.
const INDEX: &str = "index.json";

/// The largest list of images, in bytes: some 100,000 images.
const LARGEST_INDEX: u64 = 64 << 20;

/// An image as the index lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaggedImage {
    /// The name; None if the image came without one, or another image has taken it over.
    pub(crate) reference: Option<Reference>,
    pub(crate) manifest: Digest,
    pub(crate) id: Digest,
    /// The size of all files of all layers, in bytes.
    pub(crate) size: u64,
}

impl TaggedImage {
    /// Returns the name for people: the name with its tag, or the id of an image without
    /// a name.
    pub(crate) fn display_name(&self) -> String {
        self.reference.as_ref().map_or_else(|| self.id.to_string(), ToString::to_string)
    }
}

impl TaggedImage {
    /// Tells whether it has this name; with a digest, whatever the tag is.
    fn is_named(&self, wanted: &Reference, digest: Option<&Digest>) -> bool {
        self.reference.as_ref().is_some_and(|own| match digest {
            None => own == wanted,
            Some(digest) => own.name() == wanted.name() && self.manifest == *digest,
        })
    }
}

/// All images of a store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    images: Vec<TaggedImage>,
    /// The size of each manifest, as the list says: the manifest itself may be missing.
    sizes: HashMap<Digest, u64>,
}

impl Store {
    /// Reads the list of images.
    ///
    /// # Errors
    /// When it cannot be read, or is missing although the store has content: `gc` would
    /// take an empty list for the permission to remove everything.
    pub(crate) fn index(&self) -> Result<Index> {
        let path = self.path().join(INDEX);
        let damaged = |why: String| {
            Failure::new(format_args!(
                "the store's list of images, {}: {why}",
                path.display()
            ))
            .hint(format_args!(
                "nothing is removed; put it back from a backup, or remove {} and load the images again",
                self.path().display()
            ))
        };
        let read = kit::if_exists(kit::read_document(&path, LARGEST_INDEX));
        let Some(text) = read.map_err(|error| damaged(error.to_string()))? else {
            ensure!(self.has_no_content()?, damaged("it is missing".into()));
            return Ok(Index::default());
        };
        let index: ImageIndex = serde_json::from_slice(&text)
            .map_err(|error| damaged(error.to_string()))?;
        let images =
            index.manifests().iter().map(parse_descriptor).collect::<Result<Vec<_>>>();
        let images = images.map_err(|error| damaged(format!("{error:#}")))?;
        let listed = images.iter().map(|image| image.manifest);
        let sizes = listed.zip(index.manifests().iter().map(Descriptor::size));
        Ok(Index { sizes: sizes.collect(), images })
    }

    fn has_no_content(&self) -> Result<bool> {
        for name in ["blobs/sha256", "layers"] {
            let path = self.path().join(name);
            let entries = fs::read_dir(&path);
            let mut entries =
                entries.with_context(|| format!("read {}", path.display()))?;
            if entries.next().is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes the list of a store that has no images yet, before anything else is in
    /// it.
    pub(super) fn write_first_index(&self) -> Result<()> {
        let path = self.path().join(INDEX);
        match path.exists() {
            true => Ok(()),
            false => {
                self.write_document(&path, &serde_json::to_vec(&layout_index(vec![]))?)
            }
        }
    }

    /// Changes the list of images, under the lock of the names.
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
            .map(|image| self.descriptor(image, &index.sizes))
            .collect::<Result<_>>()?;
        let document = serde_json::to_vec(&layout_index(manifests))?;
        self.write_document(&self.path().join(INDEX), &document)?;
        Ok(outcome)
    }

    /// Makes the descriptor of an image's manifest.
    pub(crate) fn manifest_descriptor(&self, manifest: &Digest) -> Result<Descriptor> {
        manifest.descriptor(MediaType::ImageManifest, self.size_of(manifest)?)
    }

    fn descriptor(
        &self,
        image: &TaggedImage,
        sizes: &HashMap<Digest, u64>,
    ) -> Result<Descriptor> {
        let mut descriptor = match sizes.get(&image.manifest) {
            Some(size) => image.manifest.descriptor(MediaType::ImageManifest, *size)?,
            None => self.manifest_descriptor(&image.manifest)?,
        };
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

/// Makes the index of an image layout.
pub(crate) fn layout_index(manifests: Vec<Descriptor>) -> ImageIndex {
    let mut index = ImageIndex::default();
    index.set_schema_version(2);
    index.set_media_type(Some(MediaType::ImageIndex));
    index.set_manifests(manifests);
    index
}

fn parse_descriptor(descriptor: &Descriptor) -> Result<TaggedImage> {
    let annotations = descriptor.annotations().clone().unwrap_or_default();
    let get = |key: &str| annotations.get(key).map(String::as_str);
    // Older versions accepted names that look like ids.
    let is_name = |name: &&str| !name.split(':').next().is_some_and(looks_like_id);
    let reference = get(REF_NAME)
        .filter(is_name)
        .map(|name| name.parse::<Reference>().map_err(Failure::new))
        .transpose()?;
    Ok(TaggedImage {
        reference,
        manifest: descriptor.digest().as_ref().parse()?,
        id: get(IMAGE_ID).unwrap_or_default().parse()?,
        size: get(SIZE).and_then(|size| size.parse().ok()).unwrap_or_default(),
    })
}

impl Index {
    /// Returns the images, sorted by name.
    pub(crate) fn images(&self) -> &[TaggedImage] {
        &self.images
    }

    /// Adds an image. If another image had the same name, it loses this name. An image
    /// that has no name left stays in the list, once.
    pub(crate) fn insert(&mut self, image: TaggedImage) {
        let same_name = |it: &&mut TaggedImage| it.reference == image.reference;
        self.images.iter_mut().filter(same_name).for_each(|it| it.reference = None);
        self.images.push(image);
        self.images.sort_by(|one, other| one.reference.cmp(&other.reference));
        let named = self.images.iter().filter(|it| it.reference.is_some());
        let mut seen: HashSet<Digest> = named.map(|it| it.manifest).collect();
        self.images.retain(|it| it.reference.is_some() || seen.insert(it.manifest));
    }

    /// Finds an image by its name, or by the first digits of its id.
    ///
    /// # Errors
    /// When no image has this name or id, when several ids begin with the digits, or
    /// when the digits are the name of an image and begin the id of another. An archive
    /// chooses the names of its images, so it could put its own image in the place of
    /// the other.
    pub(crate) fn find(&self, name: &ImageName) -> Result<&TaggedImage> {
        let by_name = self.find_by_reference(name);
        let begins = |image: &&TaggedImage| {
            name.digits().is_some_and(|digits| image.id.hex().starts_with(digits))
        };
        let mut by_id = self.images.iter().filter(begins);
        match (by_name, by_id.next()) {
            (Some(found), None) => Ok(found),
            (Some(named), Some(first)) => {
                let is_named = |image: &TaggedImage| image.id == named.id;
                ensure!(is_named(first) && by_id.all(is_named), name_and_id(name));
                Ok(named)
            }
            (None, Some(first)) => {
                let is_first = |other: &TaggedImage| other.id == first.id;
                ensure!(by_id.all(is_first), ambiguous_id("image", &name.to_string()));
                Ok(first)
            }
            (None, None) => Err(not_found(name)),
        }
    }

    fn find_by_reference(&self, name: &ImageName) -> Option<&TaggedImage> {
        let (wanted, digest) = match name {
            ImageName::WithDigest(reference, digest) => {
                (reference.clone(), Some(digest))
            }
            _ => (name.reference()?, None),
        };
        let find = |wanted: &Reference| {
            self.images.iter().find(|image| image.is_named(wanted, digest))
        };
        find(&wanted).or_else(|| find(&wanted.on_localhost()?))
    }

    /// Removes a name; or, given an id, the image with all its names. Returns the
    /// removed entries.
    pub(crate) fn remove(&mut self, name: &ImageName) -> Result<Vec<TaggedImage>> {
        let found = self.find(name)?.clone();
        let by_name = self.find_by_reference(name).is_some();
        let is_removed =
            |it: &TaggedImage| if by_name { *it == found } else { it.id == found.id };
        let (removed, kept) = self.images.drain(..).partition(is_removed);
        self.images = kept;
        Ok(removed)
    }
}

/// Makes the error for digits that are a name and the beginning of another image's id.
fn name_and_id(digits: &ImageName) -> Failure {
    let what = format!(
        "image {digits}: one image has this name, and the id of another begins with it"
    );
    Failure::new(what).with_kind(FailureKind::Usage).hint(format_args!(
        "write {digits}:latest for the name, sha256:{digits} for the id"
    ))
}

fn not_found(name: &ImageName) -> anyhow::Error {
    Failure::new(format_args!("image {name}: there is no image of this name in the store"))
        .with_kind(FailureKind::NotFound)
        .hint("`images` lists them; `import` and `load` bring new ones; --store names another store")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: Option<&str>, content: &str) -> TaggedImage {
        let digest = Digest::of(content.as_bytes());
        let reference = name.map(|name| name.parse().unwrap());
        TaggedImage { reference, manifest: digest, id: digest, size: 1 }
    }

    #[test]
    fn an_image_that_is_not_in_the_store_is_not_found() {
        let mut index = Index::default();
        index.insert(image(Some("web"), "one"));
        let name: ImageName = "www".parse().unwrap();
        for error in [index.find(&name).unwrap_err(), index.remove(&name).unwrap_err()]
        {
            assert_eq!(Failure::of(&error).kind(), FailureKind::NotFound);
        }
    }

    #[test]
    fn digits_that_name_one_image_and_begin_the_id_of_another_are_ambiguous() {
        let mut index = Index::default();
        let (one, other) = (image(Some("one"), "one"), image(Some("other"), "other"));
        let digits = &one.id.hex()[..12];
        let name = |text: &str| text.parse::<ImageName>().unwrap();
        index.insert(one.clone());
        let own_name = TaggedImage { reference: digits.parse().ok(), ..one.clone() };
        index.insert(own_name);
        assert_eq!(index.find(&name(digits)).unwrap().id, one.id, "its own name");
        index.insert(TaggedImage { reference: digits.parse().ok(), ..other.clone() });
        for error in [
            index.find(&name(digits)).map(drop).unwrap_err(),
            index.remove(&name(digits)).map(drop).unwrap_err(),
        ] {
            assert_eq!(Failure::of(&error).kind(), FailureKind::Usage, "{error}");
        }
        let found = |text: &str| index.find(&name(text)).unwrap().id;
        assert_eq!(found(&format!("{digits}:latest")), other.id);
        assert_eq!(found(&format!("sha256:{digits}")), one.id);
        assert_eq!(found(&one.id.hex()), one.id);
    }

    #[test]
    fn an_image_is_found_by_its_short_name_and_by_its_digest() {
        let mut index = Index::default();
        for (name, content) in
            [("localhost/web:1", "one"), ("web:2", "two"), ("localhost/web:2", "three")]
        {
            index.insert(image(Some(name), content));
        }
        let find = |name: &str| index.find(&name.parse().unwrap()).ok().cloned();
        let one = Some(image(Some("localhost/web:1"), "one"));
        let digest = one.as_ref().unwrap().manifest;
        assert_eq!(find("web:1"), one);
        assert_eq!(find("docker.io/library/web:2"), Some(image(Some("web:2"), "two")));
        for name in ["localhost/web", "web", "web:9"] {
            assert_eq!(find(&format!("{name}@{digest}")), one, "{name}");
        }
        for name in ["web:3", "other/web:1", &format!("other@{digest}")] {
            assert_eq!(find(name), None, "{name}");
        }
    }

    #[test]
    fn an_image_without_a_name_is_listed_once_until_it_gets_a_name_again() {
        let mut index = Index::default();
        for (name, content) in [("web", "one"), ("www", "one"), ("web", "two")] {
            index.insert(image(Some(name), content));
        }
        assert_eq!(
            index.images(),
            [image(Some("web"), "two"), image(Some("www"), "one")]
        );
        index.insert(image(Some("www"), "two"));
        index.insert(image(None, "one"));
        let both = [image(Some("web"), "two"), image(Some("www"), "two")];
        assert_eq!(index.images(), [&[image(None, "one")], &both[..]].concat());
        index.insert(image(Some("old"), "one"));
        assert_eq!(index.images(), [&[image(Some("old"), "one")], &both[..]].concat());
    }
}
