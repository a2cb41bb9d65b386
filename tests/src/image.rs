//! Images made by hand: OCI layouts and docker-archives, valid and invalid.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::archive::{Archive, Entry, gzip, zstd};

/// The media type of an image's manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of a list of manifests.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of an image's configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Returns the digest of these bytes: `sha256:` and 64 hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    let digits: String =
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// Returns the chain ID of layers: the OCI image specification, "Layer ChainID".
pub fn chain_id(layers: &[Vec<u8>]) -> String {
    let join = |below: String, tar: &Vec<u8>| {
        digest(format!("{below} {}", digest(tar)).as_bytes())
    };
    let (lowest, others) = layers.split_first().expect("an image has a layer");
    others.iter().fold(digest(lowest), join)
}

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// By gzip.
    Gzip,
    /// By zstd.
    Zstd,
}

impl Compression {
    /// All kinds of compression.
    pub const ALL: [Compression; 3] =
        [Compression::Plain, Compression::Gzip, Compression::Zstd];

    /// Compresses these bytes.
    pub fn compress(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Compression::Plain => bytes.into(),
            Compression::Gzip => gzip(bytes),
            Compression::Zstd => zstd(bytes),
        }
    }

    /// Returns the media type of a layer that is compressed this way.
    pub fn media_type(self) -> &'static str {
        match self {
            Compression::Plain => "application/vnd.oci.image.layer.v1.tar",
            Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// Returns an image configuration for layers with these tars; `config` says how the
/// image is run.
pub fn configuration(layers: &[Vec<u8>], config: &Value) -> Value {
    let diff_ids: Vec<String> = layers.iter().map(|tar| digest(tar)).collect();
    let history: Vec<Value> = diff_ids
        .iter()
        .map(|_| json!({"created": "2020-01-01T00:00:00Z", "created_by": "a test"}))
        .collect();
    json!({
        "created": "2020-01-01T00:00:00Z", "architecture": architecture(), "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
    })
}

/// Returns the name of this machine's architecture in images.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// An OCI image layout that is being made: its files by name.
#[derive(Clone)]
pub struct Layout {
    /// Its files: `blobs/sha256/…`, `oci-layout`, and last `index.json`.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The descriptors in its index.
    pub manifests: Vec<Value>,
}

impl Default for Layout {
    fn default() -> Self {
        let files =
            [("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())]
                .into();
        Layout { files, manifests: Vec::new() }
    }
}

impl Layout {
    /// Creates a layout without images.
    pub fn new() -> Self {
        Layout::default()
    }

    /// Creates a layout with one image.
    pub fn of(name: &str, layers: &[Vec<u8>], packed: Compression) -> Self {
        let mut layout = Layout::new();
        layout.image(name, layers, packed, &json!({}));
        layout
    }

    /// Adds a blob and returns its descriptor.
    pub fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        self.files.insert(format!("blobs/{}", digest.replace(':', "/")), bytes.into());
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Adds an image of these layers' tars and returns its manifest.
    pub fn image(
        &mut self,
        name: &str,
        layers: &[Vec<u8>],
        packed: Compression,
        config: &Value,
    ) -> Value {
        let text = configuration(layers, config).to_string();
        let config = self.blob(CONFIG, text.as_bytes());
        let layers: Vec<Value> = layers
            .iter()
            .map(|tar| self.blob(packed.media_type(), &packed.compress(tar)))
            .collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.add_manifest(name, MANIFEST, manifest.to_string().as_bytes());
        manifest
    }

    /// Adds a manifest, valid or not, and lists it in the index by this name.
    pub fn add_manifest(&mut self, name: &str, media_type: &str, manifest: &[u8]) {
        let mut descriptor = self.blob(media_type, manifest);
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        self.manifests.push(descriptor);
    }

    /// Returns all its files, with an index unless there is one already.
    pub fn all(&self) -> BTreeMap<String, Vec<u8>> {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": self.manifests});
        let mut files = self.files.clone();
        files
            .entry("index.json".into())
            .or_insert_with(|| index.to_string().into_bytes());
        files
    }

    /// Writes it as a directory.
    pub fn write(&self, directory: &Path) {
        for (name, bytes) in self.all() {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// Packs it into an archive, in the order of names: blobs come before the index.
    pub fn tar(&self) -> Vec<u8> {
        tar(&self.all())
    }
}

/// Makes a docker-archive, the format that `docker save` wrote before it used OCI
/// layouts.
pub fn docker_archive(names: &[&str], layers: &[Vec<u8>], config: &Value) -> Vec<u8> {
    let text = configuration(layers, config).to_string();
    let config_name = format!("{}.json", &digest(text.as_bytes())["sha256:".len()..]);
    let mut files = BTreeMap::from([(config_name.clone(), text.into_bytes())]);
    let mut layer_names = Vec::new();
    for tar in layers {
        let name = format!("{}/layer.tar", &digest(tar)["sha256:".len()..]);
        files.insert(name.clone(), tar.clone());
        layer_names.push(name);
    }
    let manifest =
        json!([{"Config": config_name, "RepoTags": names, "Layers": layer_names}]);
    files.insert("manifest.json".into(), manifest.to_string().into_bytes());
    tar(&files)
}

/// Packs these files into an archive.
pub fn tar(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let add = |archive: Archive, (name, bytes): (&String, &Vec<u8>)| {
        archive.with(Entry::file(name, bytes))
    };
    files.iter().fold(Archive::new(), add).end()
}
