//! The checks of the host for this step.

use std::fmt::Display;
use std::fs;
use std::path::Path;

use kit::doctor::Check;

use crate::caller::Caller;
use crate::controller::{Controller, Version};
use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::limits::Limit;
use crate::placement::SessionBus;
use crate::scope::manager_cgroup;

/// Runs the checks of this step. The first two describe the host, and the others say
/// what this caller can use. `bus` leads to the user's systemd.
pub(crate) fn checks(bus: Option<&SessionBus>) -> Vec<Check> {
    let hierarchies = match Hierarchies::detect() {
        Ok(hierarchies) => hierarchies,
        Err(error) => {
            return vec![Check::fails(
                "cgroup",
                kit::Failure::of(&error),
                "use sudo, and mount /proc",
            )];
        }
    };
    if hierarchies.iter().next().is_none() {
        let fix = "mount -t cgroup2 none /sys/fs/cgroup";
        return vec![Check::missing("cgroup", "no cgroup file system is mounted", fix)];
    }
    let caller = Caller::of_process(&hierarchies, bus);
    let for_caller = |controller, check| {
        let hierarchy = hierarchies.hierarchy_of(controller);
        caller.restrict(check, hierarchy, Some(controller))
    };
    let controller =
        |controller| for_caller(controller, check_controller(&hierarchies, controller));
    vec![
        check_v2(&hierarchies),
        check_v1(&hierarchies),
        controller(Controller::Memory),
        controller(Controller::Cpu),
        controller(Controller::Pids),
        controller(Controller::Cpuset),
        for_caller(Controller::Memory, check_swap(&hierarchies)),
        for_caller(Controller::Io, check_blkio_weight(&hierarchies)),
        caller.restrict(check_freeze(&hierarchies), freezer(&hierarchies), None),
        caller.restrict(check_kill(&hierarchies), hierarchies.unified(), None),
    ]
}

/// Checks whether systemd makes cgroups for this caller, on its bus.
pub fn check_systemd(bus: &SessionBus) -> Check {
    match manager_cgroup(bus) {
        Ok(cgroup) => {
            Check::ok("systemd", format_args!("it makes cgroups below {cgroup:?}"))
        }
        Err(error) => Check::missing(
            "systemd",
            format_args!("{}: {}", bus.0, kit::Failure::of(&error)),
            "not needed where the engine's cgroup manager (or driver) is cgroupfs",
        ),
    }
}

/// Returns a check that passes if something was found.
fn found_or_missing(
    name: &str,
    found: Option<impl Display>,
    missing: impl Display,
    fix: impl Display,
) -> Check {
    match found {
        Some(found) => Check::ok(name, found),
        None => Check::missing(name, missing, fix),
    }
}

/// Checks that version 2 has the controllers of the limits. On a hybrid host it has
/// none.
fn check_v2(hierarchies: &Hierarchies) -> Check {
    let name = "cgroup-v2";
    let boot = "boot with `systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all`";
    let is_complete = version_1_is_complete(hierarchies);
    let fix = match is_complete {
        true => format!(
            "none is needed here: version 1 is complete; to have version 2, {boot}"
        ),
        false => format!("none is needed where cgroup-v1 is ok; else {boot}"),
    };
    let Some(unified) = hierarchies.unified() else {
        return Check::missing(name, "no unified hierarchy is mounted", fix);
    };
    let path = unified.mount_point.display();
    if unified.has_controller(Controller::Memory)
        || unified.has_controller(Controller::Pids)
    {
        return Check::ok(name, format_args!("unified, at {path}"));
    }
    let enough = if is_complete { ", and enough to run containers" } else { "" };
    let found = format!(
        "hybrid{enough}: {path} freezes and kills, the limits are on version 1"
    );
    Check::missing(name, found, fix)
}

/// Returns whether version 1 has the controllers that every container should have.
fn version_1_is_complete(hierarchies: &Hierarchies) -> bool {
    [Controller::Memory, Controller::Cpu, Controller::Pids].into_iter().all(|needed| {
        hierarchies.hierarchy_of(needed).is_some_and(|it| it.version == Version::V1)
    })
}

fn check_v1(hierarchies: &Hierarchies) -> Check {
    let paths: Vec<_> = hierarchies
        .iter()
        .filter(|it| it.version == Version::V1)
        .map(|it| it.mount_point.display().to_string())
        .collect();
    let found = (!paths.is_empty()).then(|| paths.join(", "));
    let fix = "none is needed where cgroup-v2 is ok";
    found_or_missing("cgroup-v1", found, "no hierarchy of version 1", fix)
}

fn check_controller(hierarchies: &Hierarchies, controller: Controller) -> Check {
    let name = controller.name(Version::V2);
    let missing = format_args!("no hierarchy has the {name} controller");
    let fix = "boot with `cgroup_enable=memory cgroup_no_v1=all`; see /proc/cgroups";
    let found = hierarchies.hierarchy_of(controller).map(version_and_mount_point);
    found_or_missing(&format!("cgroup-{name}"), found, missing, fix)
}

fn version_and_mount_point(hierarchy: &Hierarchy) -> String {
    let version = match hierarchy.version {
        Version::V1 => 1,
        Version::V2 => 2,
    };
    format!("version {version}, at {}", hierarchy.mount_point.display())
}

fn check_swap(hierarchies: &Hierarchies) -> Check {
    let first = |files: &[&str]| first_file(hierarchies, Controller::Memory, files);
    let mut found = first(&["memory.swap.max", "memory.memsw.limit_in_bytes"]);
    // On version 2 the top cgroup has no such file, and there may be no other cgroup
    // yet. Then only /proc/swaps tells whether the kernel has swap.
    let memory_limit = first(&["memory.max", "memory.limit_in_bytes"]);
    if found.is_none() && memory_limit.is_none() && Path::new("/proc/swaps").exists() {
        found = Some("/proc/swaps".into());
    }
    found_or_missing("cgroup-swap", found, "swap is not counted", Limit::Swap.fix())
}

/// Checks for a weight of block I/O. The top cgroup does not have the weight itself. If
/// the kernel has weights, the top cgroup has one of the last two files.
fn check_blkio_weight(hierarchies: &Hierarchies) -> Check {
    let files = [
        "io.bfq.weight",
        "io.weight",
        "blkio.weight",
        "blkio.bfq.weight",
        "io.cost.qos",
        "blkio.bfq.io_service_bytes",
    ];
    let found = first_file(hierarchies, Controller::Io, &files);
    let fix = Limit::BlkioWeight.fix();
    found_or_missing("cgroup-blkio-weight", found, "no io.weight or blkio.weight", fix)
}

fn freezer(hierarchies: &Hierarchies) -> Option<&Hierarchy> {
    hierarchies.unified().or_else(|| hierarchies.hierarchy_of(Controller::Freezer))
}

fn check_freeze(hierarchies: &Hierarchies) -> Check {
    let found = freezer(hierarchies);
    let missing = "neither version 2 nor the freezer is mounted";
    let fix = "boot a newer kernel, or use a virtual machine (book: Set-up)";
    found_or_missing("cgroup-freeze", found.map(version_and_mount_point), missing, fix)
}

/// Checks for cgroup.kill. Linux 5.14, the oldest that Kiste supports, has it on
/// version 2.
fn check_kill(hierarchies: &Hierarchies) -> Check {
    let missing = "no cgroup.kill: processes are frozen and signalled one by one";
    let fix = "mount version 2 beside version 1: mount -t cgroup2 none DIR";
    found_or_missing(
        "cgroup-kill",
        hierarchies.unified().map(version_and_mount_point),
        missing,
        fix,
    )
}

/// Finds the first of `files` in the top cgroup of the controller's hierarchy or, since
/// the top has fewer files, in a cgroup right below.
fn first_file(
    hierarchies: &Hierarchies,
    controller: Controller,
    files: &[&str],
) -> Option<String> {
    let top = &hierarchies.hierarchy_of(controller)?.mount_point;
    let below = fs::read_dir(top).into_iter().flatten().flatten();
    let mut cgroups = vec![top.clone()];
    cgroups.extend(below.map(|entry| entry.path()));
    files
        .iter()
        .flat_map(|file| cgroups.iter().map(move |cgroup| cgroup.join(file)))
        .find(|path| path.exists())
        .map(|path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use kit::doctor::Verdict;

    use super::*;
    use crate::fake::FakeHierarchy;

    fn result(check: &Check) -> (Verdict, &str) {
        (check.verdict, &check.found)
    }

    #[test]
    fn a_unified_hierarchy_without_controllers_means_a_hybrid_host() {
        let top = FakeHierarchy::new("hybrid");
        let check = check_v2(&top.mounted("cgroup2", "rw"));
        assert_eq!(check.verdict, Verdict::Missing);
        assert!(check.found.starts_with("hybrid: "), "{check:?}");
    }

    #[test]
    fn where_version_1_is_complete_version_2_is_not_needed() {
        let top = FakeHierarchy::new("complete");
        let check = check_v2(&top.mounted("cgroup", "rw,memory,cpu,pids"));
        assert_eq!(check.verdict, Verdict::Missing);
        assert!(check.fix.unwrap().starts_with("none is needed here"));
    }

    #[test]
    fn a_check_says_where_the_hierarchy_or_file_is() {
        let top = FakeHierarchy::new("doctor");
        let path = top.path().display();
        let version_1 = top.mounted("cgroup", "rw,memory,blkio,freezer");
        let memory = check_controller(&version_1, Controller::Memory);
        assert_eq!(
            result(&memory),
            (Verdict::Ok, format!("version 1, at {path}").as_str())
        );
        assert_eq!(
            result(&check_freeze(&version_1)),
            (Verdict::Ok, format!("version 1, at {path}").as_str())
        );
        let version_2 = top.mounted("cgroup2", "rw");
        assert_eq!(
            result(&check_kill(&version_2)),
            (Verdict::Ok, format!("version 2, at {path}").as_str())
        );

        top.make_cgroup("below", &[("memory.limit_in_bytes", "")]);
        assert_eq!(
            check_swap(&version_1).verdict,
            Verdict::Missing,
            "this cgroup has a file for memory, and none for swap"
        );
        assert_eq!(check_blkio_weight(&version_1).verdict, Verdict::Missing);
        let below = top.make_cgroup(
            "below",
            &[("memory.memsw.limit_in_bytes", ""), ("blkio.weight", "")],
        );
        let file = |name| below.join(name).display().to_string();
        assert_eq!(
            result(&check_swap(&version_1)),
            (Verdict::Ok, file("memory.memsw.limit_in_bytes").as_str())
        );
        assert_eq!(
            result(&check_blkio_weight(&version_1)),
            (Verdict::Ok, file("blkio.weight").as_str())
        );
    }
}
