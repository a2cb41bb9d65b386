//! A cgroup's directory in one hierarchy: makes, reads, writes and removes it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::Hint;
use nix::errno::Errno;

use crate::controller::{Controller, Version};
use crate::deadline::Deadline;
use crate::hierarchy::Hierarchy;
use crate::parent;

/// The path of a cgroup in one hierarchy. [`crate::Cgroup`] owns the directory itself
/// and removes it.
#[derive(Clone, Debug)]
pub struct Directory {
    pub(crate) hierarchy: Hierarchy,
    path: PathBuf,
    /// Whether it was there before the container.
    is_adopted: bool,
}

impl Directory {
    /// Makes the directory `path` of `hierarchy`, and its missing ancestors.
    pub(crate) fn make(hierarchy: &Hierarchy, path: PathBuf) -> Result<Self> {
        let parent = path.parent().unwrap_or(&path);
        let deadline = Deadline::new();
        loop {
            let made = parent::make(parent, &hierarchy.mount_point)
                .and_then(|()| parent::mkdir("a cgroup of its own", &path, 0o755))
                .hint_on(
                    Errno::EEXIST,
                    "a container of this id left it behind: remove it with `gc`",
                );
            match made {
                Ok(()) => return Ok(Directory::existing(hierarchy, path)),
                // Another container, the last in this parent, has just removed it.
                Err(error)
                    if kit::errno(&error) == Some(Errno::ENOENT)
                        && deadline.pause() => {}
                Err(error) => {
                    // An error of the clean-up is not reported.
                    let _ = parent::remove_unused(parent, &hierarchy.mount_point);
                    return Err(error);
                }
            }
        }
    }

    /// Wraps a directory that exists already.
    pub(crate) fn existing(hierarchy: &Hierarchy, path: PathBuf) -> Self {
        Directory { hierarchy: hierarchy.clone(), path, is_adopted: false }
    }

    /// Wraps a directory that exists, is empty, and becomes a container's.
    pub(crate) fn adopted(hierarchy: &Hierarchy, path: PathBuf) -> Self {
        Directory { is_adopted: true, ..Directory::existing(hierarchy, path) }
    }

    pub(crate) fn is_adopted(&self) -> bool {
        self.is_adopted
    }

    /// Returns the version of the hierarchy.
    pub(crate) fn version(&self) -> Version {
        self.hierarchy.version
    }

    /// Returns whether the files of `controller` are in this hierarchy.
    pub(crate) fn has_controller(&self, controller: Controller) -> bool {
        self.hierarchy.has_controller(controller)
    }

    /// Returns the name that a file has on this version.
    pub(crate) fn by_version<'a>(&self, v2: &'a str, v1: &'a str) -> &'a str {
        match self.version() {
            Version::V2 => v2,
            Version::V1 => v1,
        }
    }

    /// Returns the path on the host.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the cgroups above, from the topmost of the hierarchy down to the parent.
    pub(crate) fn ancestors(&self) -> Vec<Directory> {
        let top = &self.hierarchy.mount_point;
        let ancestors =
            self.path.ancestors().skip(1).take_while(|path| path.starts_with(top));
        let mut ancestors: Vec<_> = ancestors
            .map(|path| Directory::existing(&self.hierarchy, path.into()))
            .collect();
        ancestors.reverse();
        ancestors
    }

    /// Returns whether the cgroup has this file.
    pub(crate) fn has_file(&self, file: &str) -> Result<bool> {
        let path = self.path.join(file);
        path.try_exists().with_context(|| format!("look for {}", path.display()))
    }

    /// Writes `value` into `file`. Cgroup files take one value for each write(2).
    pub(crate) fn write(
        &self,
        why: &str,
        file: &str,
        value: impl std::fmt::Display,
    ) -> Result<()> {
        let path = self.path.join(file);
        kit::call(why, "write", format_args!("{}, {value}", path.display()), || {
            // Without O_CREAT the error for a missing file is ENOENT, not EACCES.
            OpenOptions::new()
                .write(true)
                .open(&path)?
                .write_all(value.to_string().as_bytes())
        })
    }

    /// Reads a file of the cgroup.
    pub(crate) fn read(&self, file: &str) -> Result<String> {
        let path = self.path.join(file);
        kit::read_kernel_file(&path).with_context(|| format!("read {}", path.display()))
    }

    /// Returns the number in `file`, or `None` where this kernel has no such file, or
    /// the file says `max`.
    pub(crate) fn read_number(&self, file: &str) -> Option<u64> {
        self.read(file).ok()?.trim().parse().ok()
    }

    /// Returns the number after `key` in `file`, whose lines are `key number`.
    pub(crate) fn read_keyed(&self, file: &str, key: &str) -> Option<u64> {
        keyed(&self.read(file).ok()?, key)
    }

    /// Returns the names of the files.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Returns this cgroup and all cgroups below it, the deepest first.
    pub(crate) fn tree(&self) -> Vec<PathBuf> {
        let mut tree = vec![self.path.clone()];
        let mut next = 0;
        while next < tree.len() {
            let entries = fs::read_dir(&tree[next]).into_iter().flatten().flatten();
            let children = entries
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            tree.extend(children.map(|entry| entry.path()).collect::<Vec<_>>());
            next += 1;
        }
        tree.reverse();
        tree
    }

    /// Removes the cgroup, and then each ancestor that Kiste made and nobody uses.
    ///
    /// # Errors
    /// rmdir(2) refuses a cgroup that has processes or cgroups in it. Then
    /// [`Directory::remove`] is needed.
    pub(crate) fn remove_unused(&self) -> Result<()> {
        // A refusal is expected here, so only success is narrated.
        fs::remove_dir(&self.path)?;
        kit::call(WHY_REMOVE, "rmdir", self.path.display(), || Ok::<_, Errno>(()))?;
        self.remove_unused_ancestors()
    }

    /// Removes the cgroup and the cgroups that the container made in it, and then each
    /// ancestor that Kiste made and nobody uses.
    pub(crate) fn remove(&self) -> Result<()> {
        for cgroup in self.tree() {
            rmdir(&cgroup)?;
        }
        self.remove_unused_ancestors()
    }

    /// Removes each ancestor that Kiste made and nobody uses.
    ///
    /// # Errors
    /// As [`parent::remove_unused`].
    pub(crate) fn remove_unused_ancestors(&self) -> Result<()> {
        parent::remove_unused(
            self.path.parent().unwrap_or(&self.path),
            &self.hierarchy.mount_point,
        )
    }
}

/// Returns the directory in the unified hierarchy, if there is one.
pub(crate) fn unified(directories: &[Directory]) -> Option<&Directory> {
    directories.iter().find(|directory| directory.version() == Version::V2)
}

const WHY_REMOVE: &str = "remove the cgroup, and its counters";

/// Removes a cgroup. Retries on EBUSY: a cgroup stays busy for a moment after its last
/// process has ended.
fn rmdir(path: &Path) -> Result<()> {
    let deadline = Deadline::new();
    let rmdir = || loop {
        match fs::remove_dir(path) {
            Err(error)
                if error.raw_os_error() == Some(libc::EBUSY) && deadline.pause() => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(()),
            result => return result,
        }
    };
    kit::call(WHY_REMOVE, "rmdir", path.display(), rmdir).hint_on(
        Errno::EBUSY,
        "processes are still in it: see its cgroup.procs; remove it with `gc` later",
    )
}

/// Returns the number after `key` in a text whose lines are `key number`.
pub(crate) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
}
