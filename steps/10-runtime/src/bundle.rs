//! A bundle: a directory with a config.json and, mostly, the root file system. See
//! <https://github.com/opencontainers/runtime-spec/blob/main/bundle.md>

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kit::{Context, Hint, Result};
use oci_spec::runtime::{Process, Spec};
use serde::de::DeserializeOwned;
use serde_json::Value;

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
    pub spec: Spec,
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
        let spec = parse(&text, log).with_context(|| path.display().to_string())?;
        required::check(&serde_json::from_slice(&text)?)?;
        check_version(&spec)?;
        check_annotations(&spec)?;
        Ok(Bundle { directory, spec, text })
    }
}

/// Reads a configuration file, which may be a symbolic link.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let read = path.canonicalize().and_then(|path| kit::read_document(&path, LONGEST));
    read.with_context(|| format!("read {}", path.display()))
}

/// Parses a config.json. Unknown properties are ignored.
///
/// # Errors
/// When it is no JSON, or a value is invalid.
pub(crate) fn parse(text: &[u8], log: &Log) -> Result<Spec> {
    parse_leniently(text, "/process", log)
}

/// Parses the section `process`, as [`parse`] does.
///
/// # Errors
/// As [`parse`], and when a required property is missing.
pub(crate) fn parse_process(text: &[u8], log: &Log) -> Result<Process> {
    let process = parse_leniently(text, "", log)?;
    required::check_process(serde_json::from_slice(text)?)?;
    Ok(process)
}

/// Parses a document in which `process` is at this place. If a value is unknown, tries
/// again without what a newer specification may have.
fn parse_leniently<T: DeserializeOwned>(
    text: &[u8],
    process: &str,
    log: &Log,
) -> Result<T> {
    let error = match serde_json::from_slice(text) {
        Ok(parsed) => return Ok(parsed),
        Err(error) => error,
    };
    let mut document: Value = serde_json::from_slice(text)?;
    let Some(process) = document.pointer_mut(process) else { return Err(error.into()) };
    // Not by an index, which would add what is not there.
    if let Some(sets) = process.get_mut("capabilities") {
        drop_unknown_capabilities(sets, log);
    }
    process.pointer_mut("/scheduler/flags").into_iter().for_each(spell_flags);
    Ok(serde_json::from_value(document)?)
}

/// Takes out the capabilities that nobody knows:
/// <https://github.com/opencontainers/runtime-spec/blob/main/config.md#linux-process>
fn drop_unknown_capabilities(sets: &mut Value, log: &Log) {
    let mut unknown = BTreeSet::new();
    for set in sets.as_object_mut().into_iter().flat_map(|sets| sets.values_mut()) {
        let Some(names) = set.as_array_mut() else { continue };
        names.retain(|name| {
            let Some(name) = name.as_str() else { return true };
            let is_known = name.parse::<security::Capability>().is_ok();
            if !is_known {
                unknown.insert(name.to_owned());
            }
            is_known
        });
    }
    for name in unknown {
        log.warn(&format!("process.capabilities: {name:?} is unknown, and left out"));
    }
}

/// Spells the flags of the scheduler as the parser expects them.
fn spell_flags(flags: &mut Value) {
    for flag in flags.as_array_mut().into_iter().flatten() {
        match flag.as_str() {
            Some("SCHED_FLAG_RESET_ON_FORK") => *flag = "SCHED_RESET_ON_FORK".into(),
            Some("SCHED_FLAG_DL_OVERRUN") => *flag = "SCHED_FLAG_D_L_OVERRUN".into(),
            _ => {}
        }
    }
}

/// Refuses a configuration of another major version, or of something that is no
/// version: <https://semver.org>.
fn check_version(spec: &Spec) -> Result<()> {
    let version = spec.version();
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
fn check_annotations(spec: &Spec) -> Result<()> {
    match spec.annotations().as_ref().is_some_and(|all| all.contains_key("")) {
        true => Err(invalid("annotations: a key is empty")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_capability_is_left_out_and_an_unknown_property_ignored() {
        let text = br#"{"ociVersion": "1.3.0", "future": 1, "process": {
            "cwd": "/", "user": {"uid": 0, "gid": 0},
            "capabilities": {"bounding": ["CAP_CHOWN", "CAP_FUTURE"]},
            "scheduler": {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RESET_ON_FORK"]}
        }}"#;
        let spec =
            parse(text, &Log { file: Some("/dev/null".into()), ..Log::default() });
        let process = spec.unwrap().process().clone().unwrap();
        let bounding = process.capabilities().clone().unwrap().bounding().clone();
        assert_eq!(bounding.unwrap().len(), 1);
        assert_eq!(
            process.scheduler().clone().unwrap().flags().clone().unwrap().len(),
            1
        );
    }

    #[test]
    fn an_invalid_value_is_an_error() {
        for text in [
            "",
            "{",
            r#"{"ociVersion": 1}"#,
            r#"{"linux": {"namespaces": [{"type": "x"}]}}"#,
        ] {
            assert!(parse(text.as_bytes(), &Log::default()).is_err(), "{text}");
        }
    }
}
