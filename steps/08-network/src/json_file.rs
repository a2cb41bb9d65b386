//! JSON files that are replaced as a whole: a reader finds the old text or the new one,
//! even if the writer is killed.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use kit::{Durability, Failure, Hint};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads and parses a file. None: it does not exist, or a power cut has left it
/// empty.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read_to_string(path) {
        Err(error) if is_missing(&error) => return Ok(None),
        text => text.with_context(|| format!("read {}", path.display()))?,
    };
    if text.bytes().all(|byte| byte == 0 || byte.is_ascii_whitespace()) {
        return Ok(None);
    }
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| Failure::new(format_args!("{}: {error}", path.display())))
        .map_err(anyhow::Error::from)
        .hint("look at the file, and remove it")
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Replaces a file. After an error the old file is unchanged.
pub(crate) fn write<T: Serialize>(
    path: &Path,
    value: &T,
    mode: u32,
    durability: Durability,
) -> Result<()> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    let why = "note it for later commands";
    kit::call(why, "write", path.display(), || {
        kit::write_atomically(path, text.as_bytes(), mode, durability)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_a_power_cut_has_left_empty_counts_as_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = &dir.path().join("file.json");
        for blank in ["", "\n", "\0\0\0"] {
            fs::write(path, blank).unwrap();
            assert_eq!(read::<Vec<u8>>(path).unwrap(), None, "{blank:?}");
        }
        fs::write(path, "[1").unwrap();
        assert!(read::<Vec<u8>>(path).is_err());
        for durability in [Durability::Kill, Durability::PowerCut] {
            write(path, &[1, 2], 0o640, durability).unwrap();
            assert_eq!(read::<Vec<u8>>(path).unwrap(), Some(vec![1, 2]));
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o640);
        }
    }
}
