//! JSON files that are replaced as a whole: a reader finds the old text or the new one,
//! even if the writer is killed.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use kit::{Failure, Hint};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The failure that a file must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// A kill of the writer. rename(2) is enough for that. After a power cut the file
    /// may be empty.
    Kill,
    /// A power cut. The file and its directory are flushed with fsync(2).
    PowerCut,
}

/// Reads and parses a file. None: there is none, or a power cut has left it empty.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    read_text(path)?.map(|text| parse(path, &text)).transpose()
}

/// Reads a file. None: there is none, or a power cut has left it empty.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>> {
    let text = match fs::read_to_string(path) {
        Err(error) if is_missing(&error) => return Ok(None),
        text => text.with_context(|| format!("read {}", path.display()))?,
    };
    let is_blank = text.bytes().all(|byte| byte == 0 || byte.is_ascii_whitespace());
    Ok((!is_blank).then_some(text))
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Parses the text of a file.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| Failure::new(format_args!("{}: {error}", path.display())))
        .map_err(anyhow::Error::from)
        .hint("look at the file, and remove it")
}

/// Makes the text of a value.
pub(crate) fn text<T: Serialize>(value: &T) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Replaces a file.
///
/// # Errors
/// The kernel's reason; the old file is then unchanged.
pub(crate) fn write<T: Serialize>(
    path: &Path,
    value: &T,
    mode: u32,
    durability: Durability,
) -> Result<()> {
    write_text(path, &text(value)?, mode, durability)
}

/// Replaces a file by one with this text.
///
/// # Errors
/// The kernel's reason; the old file is then unchanged.
pub(crate) fn write_text(
    path: &Path,
    text: &str,
    mode: u32,
    durability: Durability,
) -> Result<()> {
    kit::call(
        "note it for later commands",
        "write",
        path.display(),
        || match durability {
            Durability::PowerCut => kit::write_whole(path, text.as_bytes(), mode),
            Durability::Kill => replace(path, text, mode),
        },
    )
}

fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default();
    let unfinished = path.with_file_name(kit::unfinished_name(name));
    let mut options = File::options();
    options.create(true).write(true).truncate(true).mode(mode);
    let mut file = options.open(&unfinished)?;
    // whatever our umask is
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())?;
    fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_a_power_cut_has_left_empty_counts_as_missing() {
        let path = format!("/tmp/kiste-json-file-{}", std::process::id());
        let path = Path::new(&path);
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
        fs::remove_file(path).unwrap();
    }
}
