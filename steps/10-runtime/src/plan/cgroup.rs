//! `linux.cgroupsPath`: the place of the container's cgroup ([config-linux.md, "Cgroups
//! Path"](https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#cgroups-path)).

use cgroups::{CgroupLocation, CgroupPaths, Resources, SessionBus, SystemdUnit};
use kit::Result;
use oci_spec::runtime::Linux;
use rustix::process::geteuid;

use crate::config::Config;

/// The program that makes the cgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CgroupManager {
    /// This one, in the file system of cgroups.
    Kiste,
    /// systemd, over the D-Bus with this address (`--systemd-cgroup`).
    Systemd(SessionBus),
}

/// Finds the directories of the container's cgroup. They belong into the state file
/// before `Cgroup::at` makes them, so that `delete` finds them whatever happens.
///
/// # Errors
/// When a controller that a limit needs is missing, or not delegated to the user; when
/// systemd is asked for and does not answer.
pub(crate) fn plan(
    config: &Config,
    linux: &Linux,
    id: &str,
    manager: CgroupManager,
    resources: &Resources,
) -> Result<CgroupPaths> {
    let location = match manager {
        CgroupManager::Kiste => {
            CgroupLocation::new(linux.cgroups_path().as_deref(), id)
        }
        CgroupManager::Systemd(bus) => {
            CgroupLocation::Systemd(unit(config, linux, id, bus)?)
        }
    };
    CgroupPaths::plan(&location, resources)
}

/// Makes the unit from `cgroupsPath` and the annotations `org.systemd.property.*`.
fn unit(
    config: &Config,
    linux: &Linux,
    id: &str,
    bus: SessionBus,
) -> Result<SystemdUnit> {
    let path = linux.cgroups_path().as_deref().and_then(|path| path.to_str());
    let slice = if geteuid().is_root() { "system.slice" } else { "user.slice" };
    let mut unit = SystemdUnit::new(bus, path, id, slice)?;
    let annotations = config.annotations.iter().flatten();
    unit.add_annotations(annotations.map(|(key, value)| (&**key, &**value)))?;
    Ok(unit)
}
