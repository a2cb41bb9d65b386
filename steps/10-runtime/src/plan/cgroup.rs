//! `linux.cgroupsPath`: the place of the container's cgroup ([config-linux.md, "Cgroups
//! Path"](https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#cgroups-path)).

use cgroups::{CgroupLocation, CgroupPaths, Resources};
use kit::Result;
use oci_spec::runtime::Linux;

/// Finds the directories of the container's cgroup. They belong into the state file
/// before `Cgroup::at` makes them, so that `delete` finds them whatever happens.
///
/// # Errors
/// When a controller that a limit needs is missing, or not delegated to the user.
pub(crate) fn plan(
    linux: &Linux,
    id: &str,
    resources: &Resources,
) -> Result<CgroupPaths> {
    let location = CgroupLocation::new(linux.cgroups_path().as_deref(), id);
    CgroupPaths::plan(&location, resources)
}
