//! Version 1: a hierarchy for each controller, or for a few, and the same limits under
//! older names.

use anyhow::Result;

use crate::controller::Controller;
use crate::cpuset;
use crate::directory::Directory;
use crate::limits::{Cpus, Limits, Max, Swap};
use crate::setting::Setting;

/// Writes the limits whose controllers are in this hierarchy.
pub(crate) fn limit(cgroup: &Directory, limits: &Limits) -> Result<()> {
    if cgroup.hierarchy().holds(Controller::Cpuset) {
        cpuset::inherit(cgroup)?;
        cpuset::check(cgroup, "cpuset.cpus", limits)?;
    }
    settings(limits)
        .filter(|setting| cgroup.hierarchy().holds(setting.controller))
        .try_for_each(|setting| setting.write(cgroup))
}

/// Which limit goes into which file (cgroup-v1/*.rst). The order matters: memory and
/// swap together may never be less than memory, and a quota is checked against the
/// period.
fn settings(limits: &Limits) -> impl Iterator<Item = Setting> {
    use Controller::{Cpu, Cpuset, Io, Memory, Pids};
    let Limits {
        memory, memory_reservation, cpus, cpu_shares, cpuset_cpus, pids, ..
    } = limits;
    let reserve = |low| {
        Setting::new(
            "--memory-reservation",
            Memory,
            "memory.soft_limit_in_bytes",
            bytes(low),
        )
    };
    [
        memory.map(|max| {
            Setting::new("--memory", Memory, "memory.limit_in_bytes", bytes(max))
        }),
        limits.swap.map(swap),
        memory_reservation.map(reserve),
        cpus.map(|_| Setting::new("--cpus", Cpu, "cpu.cfs_period_us", Cpus::PERIOD)),
        cpus.map(|cpus| Setting::new("--cpus", Cpu, "cpu.cfs_quota_us", cpus.quota)),
        cpu_shares
            .map(|shares| Setting::new("--cpu-shares", Cpu, "cpu.shares", shares.0)),
        cpuset_cpus
            .as_ref()
            .map(|cpus| Setting::new("--cpuset-cpus", Cpuset, "cpuset.cpus", cpus)),
        pids.map(|max| Setting::new("--pids-limit", Pids, "pids.max", max)),
        limits.blkio_weight.map(|weight| {
            let blkio = Setting::new("--blkio-weight", Io, "blkio.weight", weight.0);
            blkio.or("blkio.bfq.weight", weight.0)
        }),
    ]
    .into_iter()
    .flatten()
}

/// Version 1 counts memory and swap together, as `--memory-swap` does.
fn swap(swap: Swap) -> Setting {
    let file = "memory.memsw.limit_in_bytes";
    let setting =
        Setting::new("--memory-swap", Controller::Memory, file, bytes(swap.total()));
    match swap {
        Swap::Asked(_) => setting,
        Swap::Implied(_) => setting.where_there(),
    }
}

/// No limit is -1 here.
fn bytes(max: Max) -> String {
    match max {
        Max::Unlimited => "-1".into(),
        Max::At(bytes) => bytes.to_string(),
    }
}
