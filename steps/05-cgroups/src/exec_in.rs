//! The cgroups of a further process of a container: its own, or one below it.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use kit::{Failure, FailureKind};

use crate::cgroup::Cgroup;
use crate::controller::{Controller, Version};
use crate::directory::Directory;
use crate::hierarchy::own_path;

/// A cgroup below the container's own, in all hierarchies or in those of some
/// controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubCgroup {
    /// The names of the controllers; none stands for all hierarchies.
    controllers: Vec<String>,
    /// The path from the container's own cgroup.
    path: PathBuf,
}

impl FromStr for SubCgroup {
    type Err = String;

    /// Reads `PATH`, or for version 1 `CONTROLLER[,CONTROLLER…]:PATH`, as runc's `exec
    /// --cgroup` does. A path begins at the container's own cgroup, also with a leading
    /// `/`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (names, path) = text.split_once(':').unwrap_or(("", text));
        let is_inside = |it: &Component<'_>| {
            matches!(it, Component::RootDir | Component::CurDir | Component::Normal(_))
        };
        let components: Vec<_> = Path::new(path).components().collect();
        if path.is_empty() || !components.iter().all(is_inside) {
            return Err(format!(
                "{text:?}: a cgroup is named by its path below the container's, without `..`"
            ));
        }
        let names = names.split(',').filter(|name| !name.is_empty()).map(String::from);
        let normal = components.iter().filter(|it| matches!(it, Component::Normal(_)));
        Ok(SubCgroup { controllers: names.collect(), path: normal.collect() })
    }
}

impl SubCgroup {
    fn is_in(&self, directory: &Directory) -> bool {
        let names = self.controllers.iter().map(String::as_str);
        let controllers = Controller::named(names, directory.version());
        self.controllers.is_empty()
            || controllers.iter().any(|it| directory.has_controller(*it))
    }
}

impl Cgroup {
    /// Returns the cgroup for a further process of the container: below its own cgroup
    /// where `asked` says so, and else its own. Dropping it does nothing to the cgroup.
    ///
    /// On version 2 a cgroup that has enabled controllers for others below cannot have
    /// processes, for instance when systemd runs in the container. Then the process
    /// goes where `first_process`, the container's, is.
    ///
    /// # Errors
    /// When a cgroup below does not exist, or a controller is in no hierarchy.
    pub fn for_exec(&self, asked: &[SubCgroup], first_process: i32) -> Result<Self> {
        for sub in asked {
            if !self.directories().iter().any(|it| sub.is_in(it)) {
                let names = sub.controllers.join(",");
                let what = format!("no hierarchy has the controllers {names}");
                let hint = "version 2 has one hierarchy: give the path alone";
                return Err(usage(what, hint));
            }
        }
        let mut directories = Vec::new();
        for own in self.directories() {
            let path = match asked.iter().rev().find(|sub| sub.is_in(own)) {
                Some(sub) => existing_below(own, &sub.path)?,
                None => leaf_of(own, first_process),
            };
            directories.push(Directory::existing(&own.hierarchy, path));
        }
        let mut cgroup = Cgroup::existing(directories);
        cgroup.open_unified()?;
        Ok(cgroup)
    }
}

fn existing_below(own: &Directory, path: &Path) -> Result<PathBuf> {
    let below = own.path().join(path);
    match below.is_dir() {
        true => Ok(below),
        false => {
            let what = format!("the cgroup {} does not exist", below.display());
            Err(usage(what, "make it first, for instance by `mkdir` in the container"))
        }
    }
}

/// Returns the container's own cgroup, or that of its first process if the own one can
/// have no processes.
fn leaf_of(own: &Directory, first_process: i32) -> PathBuf {
    let enabled = own.read("cgroup.subtree_control").unwrap_or_default();
    let is_inner = own.version() == Version::V2 && !enabled.trim().is_empty();
    let of_first = || own_path(&own.hierarchy, first_process);
    let leaf = is_inner.then(of_first).flatten();
    leaf.filter(|it| it.starts_with(own.path())).unwrap_or(own.path().into())
}

fn usage(what: String, hint: &str) -> anyhow::Error {
    Failure::new(what).hint(hint).with_kind(FailureKind::Usage).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sub_cgroup_is_a_path_that_does_not_lead_out() {
        let parsed = |text: &str| text.parse::<SubCgroup>();
        let sub = parsed("cpu,memory:/a/b").unwrap();
        assert_eq!(sub.controllers, ["cpu", "memory"]);
        assert_eq!(sub.path, Path::new("a/b"));
        assert_eq!(parsed("/").unwrap().path, Path::new(""));
        for bad in ["", "..", "a/../..", "cpu:", "cpu:../b"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
