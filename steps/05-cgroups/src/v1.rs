//! Version 1: a hierarchy for each controller, or for a few.

use anyhow::Result;

use crate::controller::Controller;
use crate::cpuset;
use crate::directory::Directory;
use crate::limits::{Limit, Limits};

/// Writes the limits whose controllers are in this hierarchy.
pub(crate) fn limit(cgroup: &Directory, limits: &Limits) -> Result<()> {
    if cgroup.has_controller(Controller::Cpuset) {
        inherit_cpuset(cgroup)?;
    }
    cpuset::check(cgroup, limits.cpuset_cpus.as_ref())?;
    Limit::ALL.into_iter().try_for_each(|limit| limits.write(limit, cgroup))
}

/// Copies the CPUs and memory nodes of the nearest cgroup above that has some, into
/// this cgroup and into those between. A new cpuset of version 1 is empty, and an empty
/// one refuses processes (cpusets.rst, "What do you need to know").
pub(crate) fn inherit_cpuset(cgroup: &Directory) -> Result<()> {
    let why = "a new cpuset is empty, and refuses processes";
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let mut empty = vec![cgroup.clone()];
        for above in cgroup.ancestors().into_iter().rev() {
            let value = above.read(file)?;
            if !value.trim().is_empty() {
                let write = |cgroup: &Directory| cgroup.write(why, file, value.trim());
                empty.iter().rev().try_for_each(write)?;
                break;
            }
            empty.push(above);
        }
    }
    Ok(())
}
