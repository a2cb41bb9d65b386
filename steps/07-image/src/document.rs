//! The documents of an image: index, manifest, configuration. See the OCI image
//! specification.

use anyhow::{Result, anyhow, ensure};
use kit::Failure;
use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest};
use serde_json::Value;

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
        let value: Value =
            serde_json::from_slice(bytes).map_err(|error| wrong(&error.to_string()))?;
        let has = |key: &str| value.get(key).is_some();
        let is_index = has("manifests");
        if is_index && (has("layers") || has("config")) {
            return Err(wrong("it is an index and a manifest at once"));
        }
        let says = value.get("mediaType").and_then(Value::as_str).unwrap_or_default();
        if !says.is_empty() && is_index_type(says) != is_index {
            let why = format!("its mediaType is {says:?}, and its content is not");
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

/// Parses a configuration.
pub(crate) fn configuration(bytes: &[u8], what: &str) -> Result<ImageConfiguration> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::new(format_args!("{what}: {error}")).into())
}

/// Returns the current time as configurations have it: RFC 3339, UTC.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The most layers that overlayfs takes: OVL_MAX_STACK of fs/overlayfs/params.h.
const MOST_LAYERS: usize = 500;

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
        let lies = br#"{"mediaType": "application/vnd.oci.image.manifest.v1+json", "schemaVersion": 2, "manifests": []}"#;
        assert!(Document::parse(lies, "x").unwrap_err().to_string().contains("is not"));
        let index = br#"{"schemaVersion": 2, "manifests": []}"#;
        assert!(matches!(Document::parse(index, "x").unwrap(), Document::Index(_)));
    }
}
