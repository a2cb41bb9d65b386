//! Version 2: one hierarchy. A cgroup is a directory that has the files of all
//! controllers which the cgroup above enables.

use std::collections::BTreeSet;

use anyhow::Result;
use kit::{Failure, Hint};
use nix::errno::Errno;

use crate::controller::{Controller, Version};
use crate::cpuset;
use crate::directory::Directory;
use crate::limits::{Limit, Limits};

// ANCHOR: limit
/// Enables the controllers that the limits need, and writes the limits.
// Task 5.2: the files appear when the cgroup above names their controller. Then write
// one value into each.
pub(crate) fn limit(cgroup: &Directory, limits: &Limits) -> Result<()> {
    enable(cgroup, &limits.controllers())?;
    require_domain(cgroup)?;
    cpuset::check(cgroup, limits.cpuset_cpus.as_ref())?;
    for limit in Limit::ALL {
        limits.write(limit, cgroup)?;
    }
    Ok(())
}
// ANCHOR_END: limit

/// The controllers whose counters `--stats` and the report of an OOM kill read.
const COUNTED: [Controller; 4] =
    [Controller::Cpu, Controller::Io, Controller::Memory, Controller::Pids];

/// Enables the controllers of `needed` in the cgroups above, from the top down.
///
/// The files of a controller appear in a cgroup when its parent's
/// cgroup.subtree_control names it. A parent can name only the controllers that its own
/// parent has enabled (cgroup-v2.rst, "Top-down Constraint").
///
/// Below the top, the controllers of [`COUNTED`] are enabled too. The top belongs to
/// the host: only limits enable controllers there. They stay enabled when the container
/// is gone, since another manager may use them by then.
fn enable(cgroup: &Directory, needed: &BTreeSet<Controller>) -> Result<()> {
    if cgroup.hierarchy.controllers.is_empty() {
        return Ok(()); // a hybrid host: all controllers are on version 1
    }
    let held = |controller: &Controller| cgroup.holds(*controller);
    for (depth, ancestor) in cgroup.above().iter().enumerate() {
        let granted = names(ancestor, "cgroup.controllers")?;
        let enabled = names(ancestor, "cgroup.subtree_control")?;
        let needed = needed.iter().copied().filter(held);
        let missing: Vec<_> =
            needed.filter(|controller| !enabled.contains(controller)).collect();
        if !missing.is_empty() {
            grant(ancestor, &missing)?;
        }
        let counted = COUNTED.into_iter().filter(|controller| {
            depth > 0
                && granted.contains(controller)
                && !enabled.contains(controller)
                && !missing.contains(controller)
        });
        for controller in counted {
            // Without it the container still runs, and its report is shorter.
            let _ = grant(ancestor, &[controller]);
        }
    }
    Ok(())
}

/// Returns the controllers that `file` lists.
fn names(cgroup: &Directory, file: &str) -> Result<BTreeSet<Controller>> {
    Controller::listed(&cgroup.path().join(file))
}

/// Enables controllers for the cgroups below.
fn grant(cgroup: &Directory, controllers: &[Controller]) -> Result<()> {
    refuse_inner_processes(cgroup)?;
    let names: Vec<_> = controllers
        .iter()
        .map(|controller| format!("+{}", controller.name(Version::V2)))
        .collect();
    let (path, names) = (cgroup.path().display(), names.join(" "));
    let threaded =
        format!("{path} is threaded (cgroup.type): choose another --cgroup-parent");
    // A threaded cgroup never gets memory and io.
    let not_granted = match is_threaded(cgroup) {
        true => threaded.clone(),
        false => {
            format!("the cgroup above {path} has to enable it: write {names} there")
        }
    };
    cgroup
        .write(
            "the cgroups below get the files of these controllers",
            "cgroup.subtree_control",
            &names,
        )
        .hint_on(Errno::ENOENT, not_granted)
        .hint_on(Errno::EOPNOTSUPP, threaded)
}

fn is_threaded(cgroup: &Directory) -> bool {
    cgroup.read("cgroup.type").is_ok_and(|kind| kind.trim() == "threaded")
}

/// Refuses a cgroup that cannot hold processes. A cgroup below a threaded one is
/// `domain invalid` (cgroup-v2.rst, "Threads").
fn require_domain(cgroup: &Directory) -> Result<()> {
    let kind = cgroup.read("cgroup.type")?;
    if kind.trim() == "domain" {
        return Ok(());
    }
    let what = format!(
        "{}/cgroup.type: {}, so it cannot hold processes",
        cgroup.path().display(),
        kind.trim()
    );
    Err(Failure::new(what)
        .hint("the cgroup above it is threaded: choose another --cgroup-parent")
        .into())
}

/// Refuses a cgroup that holds processes: only leaves may have them (cgroup-v2.rst, "No
/// Internal Process Constraint").
///
/// For memory and io the kernel itself refuses the write (EBUSY). For cpu, cpuset and
/// pids it makes the cgroup *threaded* instead, and then no process can enter the
/// cgroups below. The host's root is exempt; it is the only cgroup without a
/// cgroup.type.
fn refuse_inner_processes(cgroup: &Directory) -> Result<()> {
    let processes = cgroup.read("cgroup.procs").is_ok_and(|text| !text.is_empty());
    if !processes || !cgroup.has("cgroup.type")? {
        return Ok(());
    }
    let path = cgroup.path().display();
    let fix = format!(
        "make a leaf and move them there: `mkdir {path}/main`, then write each number in {path}/cgroup.procs \
         to {path}/main/cgroup.procs; or choose another --cgroup-parent"
    );
    let what = format!(
        "{path}/cgroup.subtree_control: processes are in {path} itself, so it cannot enable controllers below"
    );
    Err(Failure::new(what).hint(fix).into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::fake::Fake;

    /// Returns the text of cgroup.subtree_control at the top and below it, after the
    /// counted controllers were enabled.
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
    fn counted_controllers_are_enabled_below_the_top_where_they_are_granted_and_missing()
     {
        assert_eq!(enabled("cpuset pids", ""), ["", "+pids"]);
        assert_eq!(enabled("pids", "pids"), ["pids"; 2]);
        assert_eq!(enabled("cpuset", ""), [""; 2]);
    }

    #[test]
    fn a_cgroup_that_holds_processes_enables_nothing_unless_it_is_the_hosts_root() {
        let top = Fake::new("leaves");
        for (procs, kind, may) in [("", "domain", true), ("1\n", "domain", false)] {
            let path =
                top.with("kiste", &[("cgroup.procs", procs), ("cgroup.type", kind)]);
            let cgroup = Directory::found(&top.unified(), path);
            assert_eq!(refuse_inner_processes(&cgroup).is_ok(), may, "{procs:?}");
        }
        let root = Directory::found(
            &top.unified(),
            top.with("root", &[("cgroup.procs", "1\n")]),
        );
        refuse_inner_processes(&root).unwrap();
    }
}
