//! Writes the resources into the files of a cgroup, in an order that the kernel accepts
//! also when the cgroup has other limits already.

use anyhow::Result;
use kit::{Failure, FailureKind, Size};
use nix::errno::Errno;

use crate::controller::Controller;
use crate::cpuset;
use crate::directory::Directory;
use crate::limits::{Limit, Limits};
use crate::resources::{BelowUsage, Resources};
use crate::setting::Setting;
use crate::unified;
use crate::values::Max;

/// Writes the limits, the other settings, and the files of `unified`, which win.
pub(crate) fn apply(directories: &[Directory], resources: &Resources) -> Result<()> {
    for cgroup in directories {
        cpuset::check(cgroup, resources.limits.cpuset_cpus.as_ref())?;
        if resources.below_usage == BelowUsage::Refuse {
            refuse_below_usage(cgroup, &resources.limits)?;
        }
        let (first, rest): (Vec<_>, Vec<_>) =
            resources.settings.iter().partition(|it| goes_first(it));
        // Valid or not depends on the quota, which may be the old one.
        first.iter().try_for_each(|it| it.write_if_valid(cgroup))?;
        let limits = &resources.limits;
        for limit in order(cgroup, resources) {
            match limit {
                Limit::CpuPeriod => write_period(cgroup, limits)?,
                limit => limits.write(limit, cgroup)?,
            }
        }
        first.iter().chain(&rest).try_for_each(|it| it.write(cgroup))?;
    }
    unified::write(directories, &resources.unified)
}

/// A burst must not be more than the quota, and an idle cgroup takes no shares: both
/// are written before the limits, in case they are lowered, and after them.
fn goes_first(setting: &Setting) -> bool {
    matches!(setting, Setting::CpuBurst(_) | Setting::CpuIdle(_))
}

/// Returns the limits in an order that keeps the memory limit below that of memory and
/// swap together at all times, as version 1 asks for.
fn order(cgroup: &Directory, resources: &Resources) -> Vec<Limit> {
    let mut limits = resources.limits_in_order();
    let now = || cgroup.read_number("memory.memsw.limit_in_bytes");
    let is_raised = match resources.limits.swap.map(|it| it.total()) {
        Some(Max::At(new)) => now().is_some_and(|now| new > now),
        Some(Max::Unlimited) => now().is_some(),
        None => false,
    };
    if is_raised {
        limits.retain(|limit| *limit != Limit::Swap);
        limits.insert(0, Limit::Swap);
    }
    limits
}

/// Writes the period of version 1. The kernel may refuse a shorter period together with
/// the old quota, and accept it with the new one.
fn write_period(cgroup: &Directory, limits: &Limits) -> Result<()> {
    match limits.write(Limit::CpuPeriod, cgroup) {
        Err(error) if kit::errno(&error) == Some(Errno::EINVAL) => {
            limits.write(Limit::CpuQuota, cgroup)?;
            limits.write(Limit::CpuPeriod, cgroup)
        }
        written => written,
    }
}

/// Refuses a memory limit below the memory in use.
fn refuse_below_usage(cgroup: &Directory, limits: &Limits) -> Result<()> {
    let file = cgroup.by_version("memory.current", "memory.usage_in_bytes");
    let Some(Max::At(limit)) = limits.memory else { return Ok(()) };
    if !cgroup.has_controller(Controller::Memory) {
        return Ok(());
    }
    match cgroup.read_number(file) {
        Some(used) if used > limit => {
            let name = Limit::Memory;
            let (limit, used) = (Size(limit), Size(used));
            let what = format!("{name} {limit}: {used} of memory are in use");
            let hint = "free memory in the container, or choose a higher limit";
            Err(Failure::new(what).hint(hint).with_kind(FailureKind::Conflict).into())
        }
        _ => Ok(()),
    }
}
