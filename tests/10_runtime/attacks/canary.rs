//! A directory of the host that no container may change.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kiste_tests::host;

use crate::conformance::bundle::Bundle;

/// A directory with a file, outside the root file system.
pub struct Canary {
    path: PathBuf,
    before: Vec<String>,
}

impl Canary {
    /// Makes the directory below the bundle's.
    pub fn new(bundle: &Bundle) -> Self {
        let path = bundle.dir().join("canary");
        fs::create_dir(&path).unwrap();
        fs::create_dir(path.join("directory")).unwrap();
        fs::write(path.join("file"), "of the host").unwrap();
        let before = listing(&path);
        Canary { path, before }
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the file.
    pub fn file(&self) -> PathBuf {
        self.path.join("file")
    }

    /// Asserts that nothing was made, changed or mounted there.
    #[track_caller]
    pub fn assert_unchanged(&self) {
        assert_eq!(listing(&self.path), self.before);
        assert_eq!(fs::read_to_string(self.file()).unwrap(), "of the host");
        let name = self.path.to_str().unwrap();
        let mounted: Vec<_> =
            host::mounts().into_iter().filter(|line| line.contains(name)).collect();
        assert!(mounted.is_empty(), "{mounted:?}");
        host::assert_dev_null_is_a_device();
    }
}

/// Lists a directory and what is below it, with kinds, modes, owners and sizes.
fn listing(path: &Path) -> Vec<String> {
    let found = fs::symlink_metadata(path).unwrap();
    let (mode, size) = (found.mode(), if found.is_dir() { 0 } else { found.size() });
    let (uid, gid) = (found.uid(), found.gid());
    let mut lines = vec![format!("{} {mode:o} {uid} {gid} {size}", path.display())];
    if found.is_dir() {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        let mut entries: Vec<_> = entries.collect();
        entries.sort();
        lines.extend(entries.iter().flat_map(|entry| listing(entry)));
    }
    lines
}
