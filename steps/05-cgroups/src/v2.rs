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
/// In the topmost ancestor, which belongs to the host, a controller is enabled only if
/// a limit needs it. In the other ancestors the controllers of [`COUNTED`] are enabled
/// too. All stay enabled when the container is gone, since another manager may use them
/// by then.
pub(crate) fn enable(cgroup: &Directory, needed: &BTreeSet<Controller>) -> Result<()> {
    if cgroup.hierarchy.controllers.is_empty() {
        return Ok(()); // a hybrid host: all controllers are on version 1
    }
    let on_this_hierarchy =
        |controller: &Controller| cgroup.has_controller(*controller);
    for (depth, ancestor) in cgroup.ancestors().iter().enumerate() {
        let available = controllers_in(ancestor, "cgroup.controllers")?;
        let enabled = controllers_in(ancestor, "cgroup.subtree_control")?;
        let needed = needed.iter().copied().filter(on_this_hierarchy);
        let missing: Vec<_> =
            needed.filter(|controller| !enabled.contains(controller)).collect();
        if !missing.is_empty() {
            enable_for_children(ancestor, &missing)?;
        }
        let counted_missing = COUNTED.into_iter().filter(|controller| {
            depth > 0
                && available.contains(controller)
                && !enabled.contains(controller)
                && !missing.contains(controller)
        });
        for controller in counted_missing {
            // If this fails, the container still runs, and its report is shorter.
            let _ = enable_for_children(ancestor, &[controller]);
        }
    }
    Ok(())
}

/// Enables every controller that the cgroups above have, also those that this program
/// does not know, as far as the kernel allows it: for an OCI runtime, whose clients read
/// the counters themselves.
pub(crate) fn enable_all(cgroup: &Directory) {
    for ancestor in cgroup.ancestors() {
        let names = |file| ancestor.read(file).unwrap_or_default();
        let (available, enabled) =
            (names("cgroup.controllers"), names("cgroup.subtree_control"));
        let is_enabled = |name: &str| enabled.split_whitespace().any(|it| it == name);
        let missing = available.split_whitespace().filter(|name| !is_enabled(name));
        for name in missing {
            // Another cgroup there may have processes. The limits that are asked for do
            // not depend on it: their controllers are enabled already.
            if refuse_internal_processes(&ancestor).is_ok() {
                let _ = ancestor.write(
                    "its clients read all counters",
                    "cgroup.subtree_control",
                    format_args!("+{name}"),
                );
            }
        }
    }
}

/// Returns the controllers that `file` lists.
fn controllers_in(cgroup: &Directory, file: &str) -> Result<BTreeSet<Controller>> {
    Controller::listed(&cgroup.path().join(file))
}

/// Enables controllers for the children of `cgroup`.
fn enable_for_children(cgroup: &Directory, controllers: &[Controller]) -> Result<()> {
    refuse_internal_processes(cgroup)?;
    let names: Vec<_> = controllers
        .iter()
        .map(|controller| format!("+{}", controller.name(Version::V2)))
        .collect();
    let (path, names) = (cgroup.path().display(), names.join(" "));
    let threaded_hint =
        format!("{path} is threaded (cgroup.type): choose another --cgroup-parent");
    // A threaded cgroup never gets memory and io.
    let not_available_hint = match is_threaded(cgroup) {
        true => threaded_hint.clone(),
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
        .hint_on(Errno::ENOENT, not_available_hint)
        .hint_on(Errno::EOPNOTSUPP, threaded_hint)
}

fn is_threaded(cgroup: &Directory) -> bool {
    cgroup.read("cgroup.type").is_ok_and(|kind| kind.trim() == "threaded")
}

/// Refuses a cgroup that cannot hold processes. A cgroup below a threaded one is
/// `domain invalid` (cgroup-v2.rst, "Threads").
pub(crate) fn require_domain(cgroup: &Directory) -> Result<()> {
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

/// Refuses a cgroup that has processes in it: only leaves may have them
/// (cgroup-v2.rst, "No Internal Process Constraint").
///
/// For memory and io the kernel itself refuses the write (EBUSY). For cpu, cpuset and
/// pids it makes the cgroup *threaded* instead, and then no process can enter the
/// cgroups below. The host's root cgroup is exempt. It is the only cgroup without a
/// cgroup.type.
fn refuse_internal_processes(cgroup: &Directory) -> Result<()> {
    let has_processes = cgroup.read("cgroup.procs").is_ok_and(|text| !text.is_empty());
    if !has_processes || !cgroup.has_file("cgroup.type")? {
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
    use crate::fake::FakeHierarchy;

    /// Enables the counted controllers in the topmost cgroup and in its child. Returns
    /// the text of cgroup.subtree_control of both.
    fn enable_counted(available: &str, enabled: &str) -> [String; 2] {
        let top = FakeHierarchy::new("enable");
        let files =
            [("cgroup.controllers", available), ("cgroup.subtree_control", enabled)];
        let cgroups = [top.make_cgroup("", &files), top.make_cgroup("kiste", &files)];
        let cgroup = Directory::existing(&top.unified(), cgroups[1].join("id"));
        enable(&cgroup, &BTreeSet::new()).unwrap();
        cgroups.map(|cgroup| {
            fs::read_to_string(cgroup.join("cgroup.subtree_control")).unwrap()
        })
    }

    #[test]
    fn available_counted_controllers_are_enabled_except_in_the_topmost_cgroup() {
        assert_eq!(enable_counted("cpuset pids", ""), ["", "+pids"]);
        assert_eq!(enable_counted("pids", "pids"), ["pids"; 2]);
        assert_eq!(enable_counted("cpuset", ""), [""; 2]);
    }

    #[test]
    fn a_cgroup_with_processes_enables_nothing_unless_it_is_the_root_cgroup() {
        let top = FakeHierarchy::new("leaves");
        for (procs, kind, is_ok) in [("", "domain", true), ("1\n", "domain", false)] {
            let path = top.make_cgroup(
                "kiste",
                &[("cgroup.procs", procs), ("cgroup.type", kind)],
            );
            let cgroup = Directory::existing(&top.unified(), path);
            assert_eq!(refuse_internal_processes(&cgroup).is_ok(), is_ok, "{procs:?}");
        }
        let root = Directory::existing(
            &top.unified(),
            top.make_cgroup("root", &[("cgroup.procs", "1\n")]),
        );
        refuse_internal_processes(&root).unwrap();
    }
}
