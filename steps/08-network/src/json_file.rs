//! JSON files that are replaced as a whole: a reader finds the old text or the new one,
//! even if the writer is killed.

use std::io;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use kit::{Durability, Failure, Hint};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::directory::Directory;

/// The longest file that is read, in bytes; 65536 leases take 16 MiB.
pub(crate) const LONGEST: u64 = 32 << 20;

/// Reads and parses a file of this name. None: it does not exist, or a power cut has
/// left it empty.
///
/// # Errors
/// When it cannot be read or parsed, is no regular file, or is longer than
/// [`LONGEST`].
pub(crate) fn read<T: DeserializeOwned>(
    directory: &Directory,
    name: &str,
) -> Result<Option<T>> {
    let path = directory.path().join(name);
    let hint = "look at the file, and remove it";
    let read = kit::read_document_below(directory.as_fd(), name.as_ref(), LONGEST);
    let text = match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("read {}", path.display())).hint(hint)?,
    };
    if text.iter().all(|byte| *byte == 0 || byte.is_ascii_whitespace()) {
        return Ok(None);
    }
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| Failure::new(format_args!("{}: {error}", path.display())))
        .map_err(anyhow::Error::from)
        .hint(hint)
}

/// Replaces a file of this name. After an error the old file is unchanged.
pub(crate) fn write<T: Serialize>(
    directory: &Directory,
    name: &str,
    value: &T,
    mode: u32,
    durability: Durability,
) -> Result<()> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    let why = "note it for later commands";
    let path = directory.path().join(name);
    kit::call(why, "write", path.display(), || {
        let (fd, name) = (directory.as_fd(), name.as_ref());
        kit::write_atomically_below(fd, name, text.as_bytes(), mode, durability)
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_a_power_cut_has_left_empty_counts_as_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = &dir.path().join("file.json");
        let dir = &Directory::new(File::open(dir.path()).unwrap(), dir.path().into());
        let read = || read::<Vec<u8>>(dir, "file.json");
        for blank in ["", "\n", "\0\0\0"] {
            fs::write(path, blank).unwrap();
            assert_eq!(read().unwrap(), None, "{blank:?}");
        }
        fs::write(path, "[1").unwrap();
        assert!(read().is_err());
        for durability in [Durability::Kill, Durability::PowerCut] {
            write(dir, "file.json", &[1, 2], 0o640, durability).unwrap();
            assert_eq!(read().unwrap(), Some(vec![1, 2]));
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o640);
        }
    }
}
