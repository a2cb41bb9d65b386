//! Paths of entries.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Result, ensure};
use kit::Failure;

/// Removes `.`, and slashes that are first, doubled or last; "" is the top. A path that
/// begins with a slash counts from the top as well.
///
/// # Errors
/// The path has a `..`: it would lead out of the layer.
pub(super) fn normalize(path: &[u8]) -> Result<Vec<u8>> {
    let parts: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    ensure!(
        !parts.contains(&&b".."[..]),
        Failure::new("its name has a ..").hint("it would lead out of the layer")
    );
    Ok(parts.join(&b'/'))
}

/// Splits a path into the directory's path, and the name in it.
pub(super) fn split(path: &[u8]) -> (&[u8], &OsStr) {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    let (directory, name) =
        slash.map_or((&[][..], path), |at| (&path[..at], &path[at + 1..]));
    (directory, OsStr::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalize_removes_dots_and_needless_slashes() {
        for (path, normalized) in [
            ("./a//b/", "a/b"),
            (".", ""),
            ("./", ""),
            ("a/./b", "a/b"),
            ("", ""),
            ("/", ""),
            ("//a/b", "a/b"),
        ] {
            let found = normalize(path.as_bytes()).unwrap();
            assert_eq!(found, normalized.as_bytes(), "{path}");
        }
    }

    #[test]
    fn a_path_with_dot_dot_is_refused() {
        for bad in ["/..", "..", "a/../b", "../x"] {
            assert!(normalize(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
