//! A bundle: a directory with a config.json and, mostly, the root file system. See
//! <https://github.com/opencontainers/runtime-spec/blob/main/bundle.md>

use std::path::{Path, PathBuf};

use kit::{Context, Hint, Result};

use crate::config::{Config, Process};
use crate::invalid::invalid;
use crate::log::Log;
use crate::required;

/// The name of the configuration in a bundle.
pub(crate) const CONFIG: &str = "config.json";

/// The longest config.json that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// A bundle, with its configuration.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// The directory: an absolute path.
    pub directory: PathBuf,
    /// The configuration.
    pub config: Config,
    /// The configuration as it was read.
    pub text: Vec<u8>,
}

impl Bundle {
    /// Opens the bundle in this directory.
    ///
    /// # Errors
    /// When there is no valid config.json in it.
    pub fn open(directory: &Path, log: &Log) -> Result<Self> {
        let shown = directory.display();
        let directory = directory
            .canonicalize()
            .with_context(|| format!("bundle {shown}"))
            .hint("--bundle names a directory with a config.json")?;
        let path = directory.join(CONFIG);
        let text = read(&path).hint("`10-runtime spec` writes one")?;
        let config =
            parse_complete(&text, log).with_context(|| path.display().to_string())?;
        check_version(&config)?;
        check_annotations(&config)?;
        Ok(Bundle { directory, config, text })
    }
}

/// Reads a configuration file, which may be a symbolic link.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let read = path.canonicalize().and_then(|path| kit::read_document(&path, LONGEST));
    read.with_context(|| format!("read {}", path.display()))
}

/// Parses a config.json that has every required property.
fn parse_complete(text: &[u8], log: &Log) -> Result<Config> {
    required::check(&serde_json::from_slice(text)?)?;
    parse(text, log)
}

/// Parses a config.json. Unknown properties are ignored.
///
/// # Errors
/// When it is no JSON, or a value is invalid.
pub(crate) fn parse(text: &[u8], log: &Log) -> Result<Config> {
    let mut config: Config = serde_json::from_slice(text)?;
    if let Some(process) = &mut config.process {
        process.leave_out_unknown_capabilities(log);
    }
    Ok(config)
}

/// Parses the section `process`, as [`parse`] does.
///
/// # Errors
/// As [`parse`], and when a required property is missing.
pub(crate) fn parse_process(text: &[u8], log: &Log) -> Result<Process> {
    required::check_process(serde_json::from_slice(text)?)?;
    let mut process: Process = serde_json::from_slice(text)?;
    process.leave_out_unknown_capabilities(log);
    Ok(process)
}

/// Refuses a configuration of another major version, or of something that is no
/// version: <https://semver.org>.
fn check_version(config: &Config) -> Result<()> {
    let version = &config.oci_version;
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let is_number = |text: &str| {
        let is_padded = text.len() > 1 && text.starts_with('0');
        !is_padded && text.parse::<u32>().is_ok()
    };
    let numbers: Vec<_> = core.split('.').collect();
    match numbers[..] {
        ["1", minor, patch] if is_number(minor) && is_number(patch) => Ok(()),
        _ => Err(invalid(format_args!(
            "ociVersion {version:?}: this runtime knows 1.x.y"
        ))),
    }
}

/// Refuses an annotation without a name:
/// <https://github.com/opencontainers/runtime-spec/blob/main/config.md#annotations>
fn check_annotations(config: &Config) -> Result<()> {
    match config.annotations.as_ref().is_some_and(|all| all.contains_key("")) {
        true => Err(invalid("annotations: a key is empty")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_capability_is_left_out_and_an_unknown_property_ignored() {
        let text = br#"{"ociVersion": "1.3.0", "future": 1, "root": {"path": "/"}, "process": {
            "cwd": "/", "user": {"uid": 0, "gid": 0}, "future": {"a": []},
            "capabilities": {"bounding": ["CAP_CHOWN", "CAP_FUTURE"]}
        }}"#;
        let log = Log { file: Some("/dev/null".into()), ..Log::default() };
        let process = parse(text, &log).unwrap().process.unwrap();
        let bounding = process.capabilities.unwrap().bounding;
        assert_eq!(bounding.unwrap(), ["CAP_CHOWN"]);
    }

    #[test]
    fn an_invalid_value_is_an_error() {
        for text in [
            "",
            "{",
            r#"{"ociVersion": 1, "root": {"path": "/"}}"#,
            r#"{"ociVersion": "1.3.0", "root": {"path": "/"}, "linux": {"namespaces": [{"type": "x"}]}}"#,
        ] {
            assert!(parse(text.as_bytes(), &Log::default()).is_err(), "{text}");
        }
    }
}
