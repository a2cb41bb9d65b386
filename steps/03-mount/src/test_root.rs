//! A root file system for a unit test.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// An empty root, with a directory `outside` beside it. Both are removed when it is
/// dropped.
pub(crate) struct TestRoot {
    path: PathBuf,
    root: File,
}

impl TestRoot {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("kiste-mount-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name).join("root");
        fs::create_dir_all(&path).unwrap();
        fs::create_dir(path.with_file_name("outside")).unwrap();
        TestRoot { root: File::open(&path).unwrap(), path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn outside(&self) -> PathBuf {
        self.path.with_file_name("outside")
    }
}

impl AsFd for TestRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

impl Drop for TestRoot {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.path.parent().unwrap());
    }
}
