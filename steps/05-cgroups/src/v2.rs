//! Version 2: one hierarchy. A cgroup is a directory, and every controller has its
//! files in it.

use std::collections::BTreeSet;

use anyhow::Result;
use kit::{Failure, Hint};
use nix::errno::Errno;

use crate::controller::{Controller, Version};
use crate::cpuset;
use crate::directory::Directory;
use crate::limits::{Cpus, Limits, Max, Swap};
use crate::setting::Setting;

// ANCHOR: limits
/// Makes the controllers that the limits need appear in the cgroup, and writes the
/// limits.
// Task 5.2: files appear when the cgroup above names their controller; then write one
// value each.
pub(crate) fn limit(cgroup: &Directory, limits: &Limits) -> Result<()> {
    enable(cgroup, &limits.controllers())?;
    takes_processes(cgroup)?;
    cpuset::check(cgroup, "cpuset.cpus.effective", limits)?;
    settings(limits)
        .filter(|setting| cgroup.hierarchy().holds(setting.controller))
        .try_for_each(|setting| setting.write(cgroup))
}

/// The three that every container should have: which value goes into which file
/// (cgroup-v2.rst, "Controllers").
fn usual(limits: &Limits) -> impl Iterator<Item = Setting> {
    use Controller::{Cpu, Memory, Pids};
    let Limits { memory, cpus, pids, .. } = limits;
    let quota = |cpus: Cpus| format!("{} {}", cpus.quota, Cpus::PERIOD);
    [
        memory.map(|max| Setting::new("--memory", Memory, "memory.max", max)),
        cpus.map(|cpus| Setting::new("--cpus", Cpu, "cpu.max", quota(cpus))),
        pids.map(|max| Setting::new("--pids-limit", Pids, "pids.max", max)),
    ]
    .into_iter()
    .flatten()
}
// ANCHOR_END: limits

// ANCHOR: others
/// All of them: the usual ones, and the rest.
fn settings(limits: &Limits) -> impl Iterator<Item = Setting> {
    use Controller::{Cpu, Cpuset, Io, Memory};
    let Limits { memory_reservation, cpu_shares, cpuset_cpus, blkio_weight, .. } =
        limits;
    let others = [
        swap(limits),
        memory_reservation.map(|max| {
            Setting::new("--memory-reservation", Memory, "memory.low", low(max))
        }),
        cpu_shares.map(|shares| {
            Setting::new("--cpu-shares", Cpu, "cpu.weight", shares.weight())
        }),
        cpuset_cpus
            .as_ref()
            .map(|cpus| Setting::new("--cpuset-cpus", Cpuset, "cpuset.cpus", cpus)),
        blkio_weight.map(|weight| {
            let bfq = Setting::new("--blkio-weight", Io, "io.bfq.weight", weight.0);
            bfq.or("io.weight", weight.io_weight())
        }),
    ];
    usual(limits).chain(others.into_iter().flatten())
}
// ANCHOR_END: others

/// Version 2 counts swap alone; `--memory-swap` is memory and swap together.
fn swap(limits: &Limits) -> Option<Setting> {
    let swap = limits.swap?;
    let max = swap.without(limits.memory.unwrap_or(Max::Unlimited));
    let setting =
        Setting::new("--memory-swap", Controller::Memory, "memory.swap.max", max);
    Some(match swap {
        Swap::Asked(_) => setting,
        Swap::Implied(_) => setting.where_there(),
    })
}

/// No reservation is 0 here: `max` would protect all that the cgroup ever uses.
fn low(reservation: Max) -> u64 {
    match reservation {
        Max::Unlimited => 0,
        Max::At(bytes) => bytes,
    }
}

/// What `--stats` and an OOM report read.
const COUNTED: [Controller; 4] =
    [Controller::Cpu, Controller::Io, Controller::Memory, Controller::Pids];

/// Enables `needed` in the cgroups above, from the top down.
///
/// The files of a controller appear in a cgroup when its parent's
/// cgroup.subtree_control names it, and a parent can name only what its own parent
/// grants it (cgroup-v2.rst, "Top-down Constraint"). Only what is missing is written.
/// What is merely counted is not enabled at the top, which is the host's: there it
/// stays as it was. What a limit needed there stays enabled when the container is gone:
/// another manager may have begun to count on it.
fn enable(cgroup: &Directory, needed: &BTreeSet<Controller>) -> Result<()> {
    if !cgroup.hierarchy().has_controllers() {
        return Ok(()); // a hybrid host: version 1 has them all
    }
    for (depth, ancestor) in cgroup.above().iter().enumerate() {
        let granted = names(ancestor, "cgroup.controllers")?;
        let enabled = names(ancestor, "cgroup.subtree_control")?;
        let held = needed
            .iter()
            .copied()
            .filter(|controller| cgroup.hierarchy().holds(*controller));
        let missing: Vec<_> =
            held.filter(|controller| !enabled.contains(controller)).collect();
        if !missing.is_empty() {
            grant(ancestor, &missing)?;
        }
        let countable = |controller: &Controller| {
            granted.contains(controller) && !enabled.contains(controller)
        };
        let counted = COUNTED.into_iter().filter(|controller| {
            countable(controller) && !missing.contains(controller)
        });
        for controller in counted.filter(|_| depth > 0) {
            // Without it, the container runs as well; its report is shorter.
            let _ = grant(ancestor, &[controller]);
        }
    }
    Ok(())
}

fn names(cgroup: &Directory, file: &str) -> Result<BTreeSet<Controller>> {
    Ok(Controller::named(cgroup.read(file)?.split_whitespace(), Version::V2))
}

fn grant(cgroup: &Directory, controllers: &[Controller]) -> Result<()> {
    only_leaves_have_processes(cgroup)?;
    let names: Vec<_> = controllers
        .iter()
        .map(|controller| format!("+{}", controller.name(Version::V2)))
        .collect();
    let (path, names) = (cgroup.path().display(), names.join(" "));
    let threaded =
        format!("{path} is threaded (cgroup.type): choose another --cgroup-parent");
    // A threaded cgroup is never granted memory and io.
    let ungranted = match is_threaded(cgroup) {
        true => threaded.clone(),
        false => format!("the cgroup above {path} has to grant it: {names} in its own"),
    };
    cgroup
        .write(
            "the cgroups below get the files of these controllers",
            "cgroup.subtree_control",
            &names,
        )
        .hint_on(Errno::ENOENT, ungranted)
        .hint_on(Errno::EOPNOTSUPP, threaded)
}

fn is_threaded(cgroup: &Directory) -> bool {
    cgroup.read("cgroup.type").is_ok_and(|kind| kind.trim() == "threaded")
}

/// Below a threaded cgroup, one is `domain invalid` and takes no process
/// (cgroup-v2.rst, "Threads").
fn takes_processes(cgroup: &Directory) -> Result<()> {
    let kind = cgroup.read("cgroup.type")?;
    if kind.trim() == "domain" {
        return Ok(());
    }
    let what = format!(
        "{}/cgroup.type: {}, so it takes no process",
        cgroup.path().display(),
        kind.trim()
    );
    Err(Failure::new(what)
        .hint("the cgroup above it is threaded: choose another --cgroup-parent")
        .into())
}

/// Only leaves have processes (cgroup-v2.rst, "No Internal Process Constraint"). For
/// memory and io the kernel says EBUSY; for cpu, cpuset and pids it takes the write,
/// makes the cgroup *threaded*, and then no process gets into those below. The host's
/// root is exempt; it alone has no cgroup.type.
fn only_leaves_have_processes(cgroup: &Directory) -> Result<()> {
    let processes = cgroup.read("cgroup.procs").is_ok_and(|text| !text.is_empty());
    if !processes || !cgroup.has("cgroup.type")? {
        return Ok(());
    }
    let path = cgroup.path().display();
    let mend = format!(
        "make a leaf and move them there: `mkdir {path}/main`, then write each number in {path}/cgroup.procs \
         to {path}/main/cgroup.procs; or choose another --cgroup-parent"
    );
    let what = format!(
        "{path}/cgroup.subtree_control: processes are in {path} itself, so it cannot limit those below"
    );
    Err(Failure::new(what).hint(mend).into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::hierarchy::tests::Fake;

    /// What is written into cgroup.subtree_control at the top and below it, where these
    /// are there.
    fn enabled(granted: &str, enabled: &str) -> [String; 2] {
        let top = Fake::new("enable");
        let files =
            [("cgroup.controllers", granted), ("cgroup.subtree_control", enabled)];
        let places = [top.with("", &files), top.with("kiste", &files)];
        let cgroup = Directory::found(&top.unified(), places[1].join("id"));
        enable(&cgroup, &BTreeSet::new()).unwrap();
        places.map(|place| {
            fs::read_to_string(place.join("cgroup.subtree_control")).unwrap()
        })
    }

    #[test]
    fn what_is_only_counted_is_enabled_below_the_top_where_it_is_granted_and_missing() {
        assert_eq!(enabled("cpuset pids", ""), ["", "+pids"]);
        assert_eq!(enabled("pids", "pids"), ["pids"; 2]);
        assert_eq!(enabled("cpuset", ""), [""; 2]);
    }

    #[test]
    fn a_cgroup_with_processes_of_its_own_grants_nothing_unless_it_is_the_hosts_root() {
        let top = Fake::new("leaves");
        for (procs, kind, may) in [("", "domain", true), ("1\n", "domain", false)] {
            let path =
                top.with("kiste", &[("cgroup.procs", procs), ("cgroup.type", kind)]);
            let cgroup = Directory::found(&top.unified(), path);
            assert_eq!(only_leaves_have_processes(&cgroup).is_ok(), may, "{procs:?}");
        }
        let root = Directory::found(
            &top.unified(),
            top.with("root", &[("cgroup.procs", "1\n")]),
        );
        only_leaves_have_processes(&root).unwrap();
    }
}
