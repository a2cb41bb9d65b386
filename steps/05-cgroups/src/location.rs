//! The place of a container's cgroup as an OCI configuration gives it, and the
//! directories that follow from it on this host.

use std::cell::OnceCell;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Failure, FailureKind};
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::cgroup::require_controllers;
use crate::controller::Version;
use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::resources::Resources;
use crate::systemd_unit::SystemdUnit;

/// The place of a container's cgroup: `linux.cgroupsPath` of an OCI configuration
/// ([config-linux.md, "Cgroups
/// Path"](https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#cgroups-path)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupLocation {
    /// A path from the top of each hierarchy.
    FromTop(PathBuf),
    /// A path from the runtime's own cgroup. On version 2 it begins at the parent of
    /// that cgroup, since only leaves may have processes. runc has the same rule.
    FromOwn(PathBuf),
    /// No path is given: `kiste-runtime/ID`, from the top of each hierarchy. Without
    /// root, from the cgroup that is delegated to the user.
    Default(String),
    /// systemd makes the cgroup.
    Systemd(SystemdUnit),
}

/// The parent of the cgroups whose configuration gives no path.
const DEFAULT_PARENT: &str = "kiste-runtime";

impl CgroupLocation {
    /// Makes a location from `linux.cgroupsPath`. `.` and `..` are resolved as text,
    /// and never lead above the beginning.
    pub fn new(cgroups_path: Option<&Path>, id: &str) -> Self {
        let Some(path) = cgroups_path else {
            return CgroupLocation::Default(id.into());
        };
        let plain = without_dots(path);
        match (plain.as_os_str().is_empty(), path.is_absolute()) {
            (true, _) => CgroupLocation::Default(id.into()),
            (false, true) => CgroupLocation::FromTop(plain),
            (false, false) => CgroupLocation::FromOwn(plain),
        }
    }

    /// Returns the path of the cgroup in a hierarchy.
    fn in_hierarchy(&self, hierarchy: &Hierarchy) -> Result<PathBuf> {
        Ok(match self {
            CgroupLocation::FromTop(path) => hierarchy.mount_point.join(path),
            CgroupLocation::FromOwn(path) => below_which_to_make(hierarchy).join(path),
            CgroupLocation::Default(id) => hierarchy.base.join(DEFAULT_PARENT).join(id),
            CgroupLocation::Systemd(unit) => hierarchy.mount_point.join(unit.path()?),
        })
    }
}

/// Returns the cgroup at which relative paths begin.
fn below_which_to_make(hierarchy: &Hierarchy) -> &Path {
    if !geteuid().is_root() {
        return &hierarchy.base; // the part that is delegated to the user
    }
    let Some(own) = &hierarchy.own else { return &hierarchy.base };
    let parent = own.parent().filter(|it| it.starts_with(&hierarchy.mount_point));
    match hierarchy.version {
        Version::V1 => own,
        Version::V2 => parent.unwrap_or(own),
    }
}

fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            _ => {}
        }
    }
    plain
}

/// The directories of a container's cgroup, one for each hierarchy in which it has one.
/// They do not depend on the caller any more, so a state file can keep them. Without
/// root there may be none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPaths {
    directories: Vec<PathBuf>,
    /// The inode of each directory, once they are made. The kernel gives the inode of a
    /// cgroup to no other one (kernfs_node in linux/kernfs.h: it is the id).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    inodes: Vec<Option<u64>>,
    /// The scope, if systemd makes the cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<SystemdUnit>,
    /// The hierarchies of this host, once this process has looked for them.
    #[serde(skip)]
    hierarchies: OnceCell<Hierarchies>,
}

impl CgroupPaths {
    /// Finds the directories of a cgroup that is about to be made.
    ///
    /// # Errors
    /// When a controller that `resources` needs is not available, or not delegated to
    /// the user, or when the hierarchies cannot be examined.
    pub fn plan(location: &CgroupLocation, resources: &Resources) -> Result<Self> {
        let needed = resources.controllers();
        let hierarchies = Hierarchies::detect_all()?;
        let found = hierarchies.clone();
        let unit = match location {
            CgroupLocation::Systemd(unit) => Some(unit.clone()),
            _ => None,
        };
        let usable = match (geteuid().is_root(), &unit) {
            (true, _) => found.writable_or_needed(&needed),
            (false, None) => found.delegated(),
            // systemd delegates what it has itself.
            (false, Some(_)) => found.only_unified(),
        };
        require_controllers(&usable, &needed)?;
        let directories = usable.iter().map(|it| location.in_hierarchy(it));
        let directories = directories.collect::<Result<_>>()?;
        let hierarchies = hierarchies.into();
        Ok(CgroupPaths { directories, inodes: Vec::new(), unit, hierarchies })
    }

    /// Notes which directories they are, if any is made by now. A user without rights
    /// may have made none, and systemd makes them only for a process.
    ///
    /// # Errors
    /// When one cannot be examined.
    pub fn note_inodes(&mut self) -> Result<()> {
        let inodes = self.directories.iter().map(|path| inode(path));
        let inodes = inodes.collect::<Result<Vec<_>>>()?;
        if inodes.iter().any(Option::is_some) {
            self.inodes = inodes;
        }
        Ok(())
    }

    /// Refuses directories that are no longer those that were noted: what is meant for
    /// the container would befall the processes of another cgroup.
    ///
    /// # Errors
    /// When a directory is gone, or another one is in its place, or it cannot be examined.
    pub fn require_same(&self) -> Result<()> {
        for (path, noted) in self.noted() {
            let found = inode(path)?;
            if noted.is_some() && found != noted {
                let path = path.display();
                let what = match found {
                    None => format!("{path}: the container's cgroup was removed"),
                    Some(_) => format!(
                        "{path}: another cgroup is in the place of the container's"
                    ),
                };
                let hint = "its processes may run without limits: end the container";
                let failure = Failure::new(what).with_kind(FailureKind::Conflict);
                return Err(failure.hint(hint).into());
            }
        }
        Ok(())
    }

    /// Returns each directory, with its inode if that is noted.
    fn noted(&self) -> impl Iterator<Item = (&PathBuf, Option<u64>)> {
        let inodes = self.inodes.iter().copied().chain(std::iter::repeat(None));
        self.directories.iter().zip(inodes)
    }

    /// Returns the directories with the hierarchies that they are in. A hierarchy that
    /// is not mounted any more is left out, and a directory in the place of the noted one.
    pub(crate) fn with_hierarchies(&self) -> Result<Vec<(Hierarchy, PathBuf)>> {
        let found = self.hierarchies()?;
        let hierarchy_of = |path: &PathBuf| {
            let contains = |it: &&Hierarchy| path.starts_with(&it.mount_point);
            let around = found.iter().filter(contains);
            around.max_by_key(|it| it.mount_point.components().count()).cloned()
        };
        let mut with_hierarchies = Vec::new();
        for (path, noted) in self.noted() {
            let found = inode(path)?;
            let is_another =
                !self.inodes.is_empty() && found.is_some() && found != noted;
            if let Some(hierarchy) = hierarchy_of(path).filter(|_| !is_another) {
                with_hierarchies.push((hierarchy, path.clone()));
            }
        }
        Ok(with_hierarchies)
    }

    fn hierarchies(&self) -> Result<&Hierarchies> {
        if let Some(known) = self.hierarchies.get() {
            return Ok(known);
        }
        let found = Hierarchies::detect_all()?;
        Ok(self.hierarchies.get_or_init(|| found))
    }
}

/// Returns the inode of a directory. None: it does not exist.
fn inode(path: &Path) -> Result<Option<u64>> {
    let found = kit::if_exists(fs::metadata(path));
    let found = found.with_context(|| format!("stat {}", path.display()))?;
    Ok(found.map(|found| found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_do_not_lead_above_the_beginning_of_a_path() {
        let location = |path: &str| CgroupLocation::new(Some(path.as_ref()), "id");
        let from_top = |path: &str| CgroupLocation::FromTop(path.into());
        assert_eq!(location("/a/./b"), from_top("a/b"));
        assert_eq!(location("/../../a"), from_top("a"));
        assert_eq!(location("../a/../b"), CgroupLocation::FromOwn("b".into()));
        assert_eq!(location("/.."), CgroupLocation::Default("id".into()));
        assert_eq!(location(""), CgroupLocation::Default("id".into()));
        assert_eq!(
            CgroupLocation::new(None, "id"),
            CgroupLocation::Default("id".into())
        );
    }
}
