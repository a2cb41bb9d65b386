//! The documents of an image: index, manifest, configuration. See the OCI image
//! specification.

use anyhow::{Result, anyhow, ensure};
use kit::Failure;
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest};
use serde_json::{Value, json};

use crate::json::{self, Spelling};
use crate::limits::MOST_LAYERS;

/// A document that lists others.
#[derive(Debug)]
pub(crate) enum Document {
    Index(ImageIndex),
    Manifest(ImageManifest),
}

impl Document {
    /// Parses an index or a manifest, and refuses a document that could be both: two
    /// programs would see two different images (CVE-2021-41190).
    pub(crate) fn parse(bytes: &[u8], what: &str) -> Result<Self> {
        let wrong = |why: &str| anyhow!(Failure::new(format_args!("{what}: {why}")));
        let mut value: Value = json::parse(bytes, Spelling::Lowercase)
            .map_err(|error| wrong(&error.to_string()))?;
        // Go writes an empty list as null.
        for key in ["manifests", "layers"] {
            if value.get(key).is_some_and(Value::is_null) {
                value[key] = Value::Array(Vec::new());
            }
        }
        let has = |key: &str| value.get(key).is_some();
        let is_index = has("manifests");
        if is_index && (has("layers") || has("config")) {
            return Err(wrong("it is an index and a manifest at once"));
        }
        let media_type =
            value.get("mediaType").and_then(Value::as_str).unwrap_or_default();
        if !media_type.is_empty() && is_index_type(media_type) != is_index {
            let why =
                format!("its mediaType is {media_type:?}, and its content is not");
            return Err(wrong(&why));
        }
        let parsed = match is_index {
            true => serde_json::from_value(value).map(Document::Index),
            false => serde_json::from_value(value).map(Document::Manifest),
        };
        parsed.map_err(|error| wrong(&error.to_string()))
    }
}

/// Tells whether a media type is that of an index, OCI's or Docker's.
pub(crate) fn is_index_type(media_type: &str) -> bool {
    media_type.contains("index") || media_type.contains("manifest.list")
}

/// Tells whether a manifest is not that of an image, but of a signature, a chart or
/// another artifact.
pub(crate) fn is_artifact(manifest: &ImageManifest) -> bool {
    let layers = manifest.layers();
    let is_archive =
        |layer: &Descriptor| layer.media_type().to_string().contains("tar");
    let config_type = manifest.config().media_type().to_string();
    !CONFIG_TYPES.contains(&config_type.as_str())
        || (!layers.is_empty() && !layers.iter().any(is_archive))
        || (layers.is_empty() && manifest.artifact_type().is_some())
}

/// The media types of an image's configuration: OCI's, Docker's, and the one of
/// programs that have no special type for it.
const CONFIG_TYPES: [&str; 3] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
    "application/octet-stream",
];

/// Parses a configuration. Fields that programs leave out or write in another form are
/// completed, as podman and Docker do.
pub(crate) fn configuration(bytes: &[u8], what: &str) -> Result<ImageConfiguration> {
    let parsed = json::parse(bytes, Spelling::Lowercase).and_then(|mut value| {
        complete(&mut value);
        serde_json::from_value(value)
    });
    parsed.map_err(|error| Failure::new(format_args!("{what}: {error}")).into())
}

fn complete(configuration: &mut Value) {
    let Some(fields) = configuration.as_object_mut() else { return };
    for name in ["architecture", "os"] {
        let field = fields.entry(name).or_insert_with(|| json!(""));
        if field.is_null() {
            *field = json!("");
        }
    }
    if let Some(rootfs) = fields.get_mut("rootfs").and_then(Value::as_object_mut) {
        rootfs.entry("type").or_insert_with(|| json!("layers"));
    }
    let Some(config) = fields.get_mut("config").and_then(Value::as_object_mut) else {
        return;
    };
    for name in ["Entrypoint", "Cmd"] {
        // Docker once wrote a single string.
        if let Some(word @ Value::String(_)) = config.get_mut(name) {
            *word = json!([word.take()]);
        }
    }
    for name in ["Volumes", "ExposedPorts"] {
        let all = config.get_mut(name).and_then(Value::as_object_mut);
        all.into_iter().flatten().for_each(|(_, value)| *value = json!({}));
    }
}

/// Returns the current time as configurations have it: RFC 3339, UTC.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Refuses an image whose manifest and configuration do not list the same number of
/// layers, or more than overlayfs takes.
pub(crate) fn check_layer_count(in_manifest: usize, in_config: usize) -> Result<()> {
    ensure!(
        in_manifest <= MOST_LAYERS,
        Failure::new(format_args!("{in_manifest} layers: the most is {MOST_LAYERS}"))
    );
    ensure!(
        in_manifest == in_config,
        Failure::new(format_args!(
            "its manifest has {in_manifest} layers, and its configuration {in_config}"
        ))
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_an_index_and_a_manifest_at_once_is_refused() {
        let both = br#"{"schemaVersion": 2, "manifests": [], "layers": []}"#;
        assert!(
            Document::parse(both, "x").unwrap_err().to_string().contains("at once")
        );
        let wrong_type = br#"{"mediaType": "application/vnd.oci.image.manifest.v1+json", "schemaVersion": 2, "manifests": []}"#;
        assert!(
            Document::parse(wrong_type, "x")
                .unwrap_err()
                .to_string()
                .contains("is not")
        );
        let index = br#"{"schemaVersion": 2, "manifests": []}"#;
        assert!(matches!(Document::parse(index, "x").unwrap(), Document::Index(_)));
    }
}
