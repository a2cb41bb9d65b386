//! `save`: images as an OCI image layout in a tar archive, with the `manifest.json`
//! that `docker load` wants beside it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Write};

use anyhow::{Context, Result};
use kit::Failure;
use serde_json::json;
use tar::{EntryType, Header};

use crate::digest::{Digest, Hashing};
use crate::image::Image;
use crate::reference::ImageName;
use crate::store::{Store, layout_index, manifest_descriptor};

/// Writes images, each blob once.
pub(crate) fn save(
    store: &Store,
    named: &[ImageName],
    output: &mut dyn Write,
) -> Result<()> {
    let _shared = store.share()?;
    let images: Vec<Image> =
        named.iter().map(|named| Image::find(store, named)).collect::<Result<_>>()?;
    let mut archive = Archive { output };
    archive.document("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let mut blobs = BTreeMap::new();
    for image in &images {
        for digest in image.blobs()? {
            blobs.insert(digest.hex(), digest);
        }
    }
    for (hex, digest) in &blobs {
        archive.blob(store, &format!("blobs/sha256/{hex}"), digest)?;
    }
    archive.document("index.json", &serde_json::to_vec(&index(store, &images)?)?)?;
    archive.document("manifest.json", &serde_json::to_vec(&docker(&images)?)?)?;
    archive.output.write_all(&[0; 1024]).context("write the archive")?;
    archive.output.flush().context("write the archive")
}

fn index(store: &Store, images: &[Image]) -> Result<oci_spec::image::ImageIndex> {
    let descriptor = |image: &Image| {
        let manifest = &image.tagged.manifest;
        let mut descriptor = manifest_descriptor(manifest, store.size_of(manifest)?)?;
        if let Some(name) = &image.tagged.reference {
            let keys =
                ["org.opencontainers.image.ref.name", "io.containerd.image.name"];
            let annotations = keys.map(|key| (key.to_string(), name.to_string()));
            descriptor.set_annotations(Some(HashMap::from(annotations)));
        }
        Ok(descriptor)
    };
    Ok(layout_index(images.iter().map(descriptor).collect::<Result<_>>()?))
}

fn docker(images: &[Image]) -> Result<serde_json::Value> {
    let path = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let one = |image: &Image| {
        let layers: Vec<String> = image.layers()?.iter().map(path).collect();
        let names: Vec<String> =
            image.tagged.reference.iter().map(ToString::to_string).collect();
        Ok(
            json!({ "Config": path(&image.tagged.id), "RepoTags": names, "Layers": layers }),
        )
    };
    Ok(serde_json::Value::Array(images.iter().map(one).collect::<Result<_>>()?))
}

struct Archive<'a> {
    output: &'a mut dyn Write,
}

impl Archive<'_> {
    fn document(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.header(name, bytes.len() as u64)?;
        self.output.write_all(bytes).context("write the archive")?;
        self.pad(bytes.len() as u64)
    }

    /// A blob, held to its name: a damaged one is not handed on.
    fn blob(&mut self, store: &Store, name: &str, digest: &Digest) -> Result<()> {
        let path = store.blob(digest);
        let file =
            File::open(&path).with_context(|| format!("open({})", path.display()))?;
        let size = store.size_of(digest)?;
        self.header(name, size)?;
        let mut content = Hashing::new(file.take(size));
        let copied = std::io::copy(&mut content, &mut self.output)
            .context("write the archive")?;
        if copied != size {
            return Err(Failure::new(format_args!(
                "{}: it became shorter",
                path.display()
            ))
            .into());
        }
        content.finish().0.expect(&path.display().to_string(), digest)?;
        self.pad(size)
    }

    fn header(&mut self, name: &str, size: u64) -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_path(name).context("a name in the archive")?;
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(size);
        header.set_mtime(0);
        header.set_cksum();
        self.output.write_all(header.as_bytes()).context("write the archive")
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let padding = [0; 512];
        self.output
            .write_all(&padding[..(size.wrapping_neg() % 512) as usize])
            .context("write the archive")
    }
}
