//! CPUs: which there are to be had, and version 1's rule that a new cpuset is empty.

use anyhow::Result;
use kit::Failure;

use crate::controller::Controller;
use crate::cpu_list::CpuList;
use crate::directory::Directory;
use crate::limits::Limits;

/// Refuses CPUs that the cgroup above does not have. Version 2 would take them and then
/// run the container on whatever there is (cgroup-v2.rst, "cpuset.cpus").
///
/// `file` is where the cgroup above lists what it has.
pub(crate) fn check(cgroup: &Directory, file: &str, limits: &Limits) -> Result<()> {
    let holds = cgroup.hierarchy().holds(Controller::Cpuset);
    let Some(asked) = limits.cpuset_cpus.as_ref().filter(|_| holds) else {
        return Ok(());
    };
    let above = cgroup.above().pop();
    let listed = above.and_then(|above| above.read(file).ok()).unwrap_or_default();
    match listed.parse::<CpuList>() {
        Ok(there) if !asked.is_within(&there) => {
            let what = format!(
                "--cpuset-cpus {asked}: there are only {there} in the cpuset controller"
            );
            Err(Failure::new(what)
                .hint("`lscpu` lists the host's CPUs; a cgroup above may have fewer")
                .into())
        }
        _ => Ok(()),
    }
}

/// Gives the cgroup, and those above it that have none, the CPUs and memory nodes of
/// the nearest one above that has. Version 1 makes a cpuset empty, and an empty one
/// takes no process (cpusets.rst, "What do you need to know").
pub(crate) fn inherit(cgroup: &Directory) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let mut empty = vec![cgroup.clone()];
        for above in cgroup.above().into_iter().rev() {
            let value = above.read(file)?;
            if !value.trim().is_empty() {
                let write = |it: &Directory| {
                    it.write(
                        "a new cpuset is empty, and takes no process",
                        file,
                        value.trim(),
                    )
                };
                empty.iter().rev().try_for_each(write)?;
                break;
            }
            empty.push(above);
        }
    }
    Ok(())
}
