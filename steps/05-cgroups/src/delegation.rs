//! Finds the cgroup that is delegated to the user. A container without root has its
//! cgroup below that one (cgroup-v2.rst, "Delegation").

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use kit::read_kernel_file;
use nix::unistd::{AccessFlags, access};

use crate::controller::Controller;
use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::placement::Placement;
use crate::scope;

/// How to get a cgroup that is delegated to the user.
pub(crate) const FIX: &str = "start it in a cgroup that is yours: `systemd-run --user --scope -p Delegate=yes \
                              COMMAND`; or have root delegate one (book: chapter 6); or use sudo";

impl Hierarchies {
    /// Finds the hierarchies in which this process may make cgroups. Root may do so in
    /// every hierarchy that is writable. A read-only hierarchy is included only if it
    /// has a controller of `needed`. Without root, the result is the part of the
    /// unified hierarchy that is delegated to the user. If a needed controller is
    /// missing in that part, this function asks systemd for a scope.
    ///
    /// # Errors
    /// The errors of [`Hierarchies::detect`], and when systemd makes no scope.
    pub(crate) fn usable(
        placement: &Placement,
        needed: &BTreeSet<Controller>,
    ) -> Result<Self> {
        let found = Self::detect()?;
        if rustix::process::geteuid().is_root() {
            return Ok(found.writable_or_needed(needed));
        }
        let delegated = found.delegated();
        let is_enough = needed.iter().all(|it| delegated.hierarchy_of(*it).is_some());
        let Some(bus) = placement.session_bus.as_ref().filter(|_| !is_enough) else {
            return Ok(delegated);
        };
        scope::enter(bus, &placement.id)?;
        Self::detect()?.unified().map_or(Ok(()), scope::become_leaf)?;
        Ok(Self::detect()?.delegated())
    }

    /// Leaves out the hierarchies in which root can make no cgroup, as in a container.
    /// A hierarchy with a controller of `needed` stays: making a cgroup in it fails.
    pub(crate) fn writable_or_needed(mut self, needed: &BTreeSet<Controller>) -> Self {
        self.0.retain(|it| {
            access(&it.mount_point, AccessFlags::W_OK).is_ok()
                || needed.iter().any(|controller| it.has_controller(*controller))
        });
        if needed.is_empty() && self.0.is_empty() {
            kit::warn("no cgroups can be made here: the container runs in yours");
        }
        self
    }

    /// Returns the part that is delegated to this process, with its controllers.
    pub(crate) fn delegated(&self) -> Self {
        let delegated = self.unified().and_then(|hierarchy| {
            let base = delegated_ancestor(hierarchy)?;
            // Fewer controllers may be delegated than the host has.
            let controllers =
                Controller::listed(&base.join("cgroup.controllers")).ok()?;
            Some(Hierarchy { base, controllers, ..hierarchy.clone() })
        });
        Hierarchies(delegated.into_iter().collect())
    }
}

/// Returns the nearest ancestor of this process's cgroup that is delegated to the user
/// and has no processes in it.
///
/// To move a process the kernel asks for write access to cgroup.procs of the common
/// ancestor of both cgroups. This cgroup is the ancestor, so we may start processes
/// below it.
fn delegated_ancestor(hierarchy: &Hierarchy) -> Option<PathBuf> {
    let own_and_above = hierarchy.own.as_ref()?.ancestors();
    own_and_above
        .take_while(|cgroup| cgroup.starts_with(&hierarchy.mount_point))
        .find(|cgroup| is_delegated(cgroup) && !has_processes(cgroup))
        .map(Path::to_path_buf)
}

/// Returns whether the user may write to the directory and to the two files that are
/// delegated with it.
fn is_delegated(cgroup: &Path) -> bool {
    let paths = [
        cgroup.to_path_buf(),
        cgroup.join("cgroup.procs"),
        cgroup.join("cgroup.subtree_control"),
    ];
    paths.iter().all(|path| access(path, AccessFlags::W_OK).is_ok())
}

/// Returns whether processes are in the cgroup itself. Only leaves may have processes,
/// so such a cgroup cannot enable controllers below.
fn has_processes(cgroup: &Path) -> bool {
    read_kernel_file(cgroup.join("cgroup.procs")).is_ok_and(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHierarchy;

    #[test]
    fn a_cgroup_has_processes_if_its_cgroup_procs_is_not_empty() {
        let top = FakeHierarchy::new("processes");
        for (procs, expected) in [("", false), ("1\n", true)] {
            assert_eq!(
                has_processes(&top.make_cgroup("it", &[("cgroup.procs", procs)])),
                expected,
                "{procs:?}"
            );
        }
    }
}
