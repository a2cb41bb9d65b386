//! A hierarchy for the unit tests: an ordinary directory with files in it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::controller::Controller;
use crate::hierarchy::{Hierarchies, Hierarchy};

/// A temporary directory in place of the mount point of a hierarchy.
pub(crate) struct FakeHierarchy(TempDir);

impl FakeHierarchy {
    pub(crate) fn new(name: &str) -> Self {
        let prefix = format!("kiste-cgroups-{name}-");
        FakeHierarchy(tempfile::Builder::new().prefix(&prefix).tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes a cgroup with these files. An empty path is the topmost cgroup.
    pub(crate) fn make_cgroup(&self, cgroup: &str, files: &[(&str, &str)]) -> PathBuf {
        let path = self.path().join(cgroup);
        fs::create_dir_all(&path).unwrap();
        for (file, text) in files {
            fs::write(path.join(file), text).unwrap();
        }
        path
    }

    /// Returns the hierarchies of a host that has mounted only this one.
    pub(crate) fn mounted(&self, kind: &str, options: &str) -> Hierarchies {
        let path = self.path().display();
        let mount = format!("50 40 0:30 / {path} rw - {kind} cgroup {options}\n");
        Hierarchies::recorded(&mount, "0::/\n")
    }

    /// Returns a unified hierarchy with the controllers in its cgroup.controllers.
    pub(crate) fn unified(&self) -> Hierarchy {
        let file = self.path().join("cgroup.controllers");
        let controllers = Controller::listed(&file).unwrap_or_default();
        let mounted = self.mounted("cgroup2", "rw").unified().unwrap().clone();
        Hierarchy { controllers, ..mounted }
    }
}
