//! A bundle: a directory with a config.json and, mostly, the root file system. See
//! <https://github.com/opencontainers/runtime-spec/blob/main/bundle.md>

use std::path::{Path, PathBuf};

use kit::{Context, Failure, FailureKind, Hint, Result};
use oci_spec::runtime::Spec;

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
    pub fn open(directory: &Path) -> Result<Self> {
        let shown = directory.display();
        let directory = directory
            .canonicalize()
            .with_context(|| format!("bundle {shown}"))
            .hint("--bundle names a directory with a config.json")?;
        let path = directory.join(CONFIG);
        let text = read(&path).hint("`10-runtime spec` writes one")?;
        let spec = parse(&text).with_context(|| path.display().to_string())?;
        check_version(&spec)?;
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
pub(crate) fn parse(text: &[u8]) -> Result<Spec> {
    Ok(serde_json::from_slice(text)?)
}

/// Refuses a configuration of another major version:
/// <https://github.com/opencontainers/runtime-spec/blob/main/config.md#specification-version>
fn check_version(spec: &Spec) -> Result<()> {
    let version = spec.version();
    match version.split('.').map(str::parse::<u64>).next() {
        Some(Ok(1)) => Ok(()),
        _ => {
            let what = format!("ociVersion {version:?}: this runtime knows 1.x");
            Err(Failure::new(what).with_kind(FailureKind::Usage).into())
        }
    }
}
