//! Directories of a layer that hide what lower layers have in them.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::io::Errno;

use super::open::{open_at, open_beneath};
use super::path;
use super::whiteout::is_opaque;

/// Looks for directories of a layer that hide lower layers. Each answer remembers the
/// way, so that looking at a deep directory and then at those above it takes no more
/// calls than the deep one alone.
#[derive(Default)]
pub(super) struct Hiding {
    path: Vec<u8>,
    /// The lengths of the parts of the path whose directories hide nothing.
    plain: Vec<usize>,
    /// The length of the part at which the last way ended, and the answer.
    end: Option<(usize, bool)>,
}

impl Hiding {
    /// Tells whether a layer hides what lower layers have in a directory: in this layer
    /// the path, or a part of it, is opaque or no directory.
    pub(super) fn hides_lower(&mut self, layer: &OwnedFd, path: &[u8]) -> Result<bool> {
        let is_on_the_way = |end: usize, last: &[u8]| {
            path.get(..end) == last.get(..end)
                && path.get(end).is_none_or(|byte| *byte == b'/')
        };
        if let Some((end, answer)) = self.end
            && is_on_the_way(end, &self.path)
        {
            return Ok(answer);
        }
        let mut plain = std::mem::take(&mut self.plain);
        plain.retain(|end| is_on_the_way(*end, &self.path));
        let start = plain.last().copied().unwrap_or(0);
        (self.path, self.plain, self.end) = (path.to_vec(), plain, None);
        if start == path.len() {
            return Ok(false);
        }
        let mut here = open_beneath(layer, &path[..start]).context("open(a layer)")?;
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = slashes.map(|(at, _)| at).chain([path.len()]);
        for end in ends.filter(|end| *end > start) {
            let answer = match open_at(&here, path::split(&path[..end]).1) {
                Ok(directory) => {
                    here = directory;
                    is_opaque(&here).then_some(true)
                }
                Err(Errno::NOENT) => Some(false),
                Err(_) => Some(true),
            };
            if let Some(answer) = answer {
                self.end = Some((end, answer));
                return Ok(answer);
            }
            self.plain.push(end);
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::super::whiteout::set_opaque;
    use super::*;

    #[test]
    fn an_opaque_directory_and_a_file_hide_what_is_below_them() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b/c/d")).unwrap();
        std::fs::create_dir_all(dir.path().join("a/bc")).unwrap();
        std::fs::write(dir.path().join("a/file"), "").unwrap();
        let layer = OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
        set_opaque(&open_beneath(&layer, b"a/b").unwrap()).unwrap();
        let mut hiding = Hiding::default();
        for (path, expected) in [
            ("a/b/c/d", true),
            ("a/b/c", true),
            ("a/bc", false),
            ("a/b", true),
            ("a", false),
            ("a/file/x/y", true),
            ("a/file/x", true),
            ("a/missing/x", false),
            ("a/missing", false),
            ("", false),
            ("a/b/missing", true),
        ] {
            let hides = hiding.hides_lower(&layer, path.as_bytes()).unwrap();
            assert_eq!(hides, expected, "{path}");
        }
    }
}
