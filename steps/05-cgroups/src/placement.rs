//! The place of a container's cgroup.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use kit::Id;

/// The place of a container's cgroup: `PARENT/ID` in each hierarchy.
#[derive(Clone, Debug)]
pub struct Placement {
    /// The parent cgroup. It is made in each hierarchy that does not have it.
    pub parent: CgroupParent,
    /// The name of the container's own cgroup.
    pub id: Id,
    /// The bus on which the user's systemd can be asked for a cgroup. It is used only
    /// if the user is not root and has no delegated cgroup with the controllers.
    pub session_bus: Option<SessionBus>,
}

impl Placement {
    /// Returns the path from the top of a hierarchy to the cgroup of the container.
    pub(crate) fn path(&self) -> PathBuf {
        self.parent.as_path().join(self.id.as_str())
    }
}

/// The parent of the containers' cgroups, as a path from the top of each hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupParent(PathBuf);

impl CgroupParent {
    /// Returns the path, relative to the top of each hierarchy.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for CgroupParent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name =
            |name: &str| !name.contains('\n') && !matches!(name, "" | "." | "..");
        match text.split('/').all(is_name) {
            true => Ok(CgroupParent(text.into())),
            false => {
                Err("a cgroup is named from the top of the hierarchy, without `.`, `..` or a leading /: \
                          kiste, machine/kiste"
                    .into())
            }
        }
    }
}

/// Returns whether `path` is relative and has no `..`, so that it leads only down.
pub(crate) fn is_plain(path: &Path) -> bool {
    path.components().all(|component| matches!(component, Component::Normal(_)))
}

/// The D-Bus address of the user's session bus: `unix:path=/run/user/1000/bus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionBus(pub String);
