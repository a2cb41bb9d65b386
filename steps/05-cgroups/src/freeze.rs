//! Freezes and thaws all processes of a cgroup.

use anyhow::Result;
use kit::{Failure, Hint};

use crate::controller::Controller;
use crate::deadline::{Deadline, STUCK};
use crate::directory::{Directory, unified};
use crate::events;

/// The file in which version 1 has the state (cgroup-v1/freezer-subsystem.rst).
const STATE: &str = "freezer.state";

/// Freezes all processes, and returns when none of them runs. Every cgroup of version 2
/// has cgroup.freeze (Linux 5.2); on version 1 the freezer is a controller.
pub(crate) fn freeze(directories: &[Directory]) -> Result<()> {
    if let Some(cgroup) = unified(directories) {
        cgroup.write("freeze all processes in it", "cgroup.freeze", 1)?;
        // If one process cannot be frozen, the others must not stay frozen.
        return events::wait(cgroup, "frozen", 1)
            .inspect_err(|_| drop(thaw(directories)));
    }
    freeze_v1(freezer(directories).ok_or_else(no_freezer)?)
}

/// Thaws all processes, and returns when they run again.
pub(crate) fn thaw(directories: &[Directory]) -> Result<()> {
    if let Some(cgroup) = unified(directories) {
        cgroup.write("thaw all processes in it", "cgroup.freeze", 0)?;
        return events::wait(cgroup, "frozen", 0);
    }
    thaw_v1(freezer(directories).ok_or_else(no_freezer)?)
}

fn no_freezer() -> Failure {
    Failure::new(
        "no hierarchy can freeze: neither version 2 nor the freezer is mounted",
    )
}

/// Returns whether the processes are frozen, or about to be.
///
/// # Errors
/// When no hierarchy can freeze, or its state cannot be read.
pub(crate) fn is_frozen(directories: &[Directory]) -> Result<bool> {
    if let Some(cgroup) = unified(directories) {
        return Ok(cgroup.read("cgroup.freeze")?.trim() == "1");
    }
    let freezer = freezer(directories).ok_or_else(no_freezer)?;
    Ok(freezer.read(STATE)?.trim() != "THAWED")
}

/// Returns the cgroup in the hierarchy of version 1's freezer, if there is one.
pub(crate) fn freezer(directories: &[Directory]) -> Option<&Directory> {
    directories.iter().find(|cgroup| cgroup.has_controller(Controller::Freezer))
}

/// Freezes a cgroup in the freezer hierarchy of version 1.
///
/// The freezer has no event. If a process forks at the wrong moment, the state stays
/// FREEZING until FROZEN is written once more. So this writes and reads until the state
/// is FROZEN.
pub(crate) fn freeze_v1(cgroup: &Directory) -> Result<()> {
    let deadline = Deadline::new();
    loop {
        cgroup.write("freeze all processes in it", STATE, "FROZEN")?;
        if cgroup.read(STATE)?.trim() == "FROZEN" {
            return Ok(());
        }
        if !deadline.pause() {
            // If one process cannot be frozen, the others must not stay frozen.
            thaw_v1(cgroup)?;
            let path = cgroup.path().display();
            let what = format!("{path}/{STATE}: still FREEZING after 10 seconds");
            return Err(Failure::new(what).into()).hint(STUCK);
        }
    }
}

fn thaw_v1(cgroup: &Directory) -> Result<()> {
    cgroup.write("thaw all processes in it", STATE, "THAWED")
}

/// Thaws a cgroup in the freezer hierarchy and the cgroups below it, so that their
/// processes can die: SIGKILL does not reach a process that version 1 has frozen.
///
/// As long as the container's root has CAP_SYS_ADMIN (until step 09), it can mount the
/// freezer and freeze processes in cgroups of its own. If its PID 1 ends then, the
/// kernel waits for these processes before it reports the end, and so does the runtime.
/// Once somebody has killed the runtime, `gc` calls this function.
pub(crate) fn thaw_tree(top: &Directory) -> Result<()> {
    for path in top.tree() {
        let cgroup = Directory::existing(&top.hierarchy, path);
        if cgroup.read(STATE).is_ok_and(|state| state.trim() != "THAWED") {
            thaw_v1(&cgroup)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use std::thread;

    use super::*;
    use crate::fake::FakeHierarchy;

    #[test]
    fn frozen_is_written_again_until_all_processes_are_frozen() {
        let top = FakeHierarchy::new("freezer");
        let path = top.make_cgroup("it", &[(STATE, "FREEZING")]);
        let file = path.join(STATE);
        let kernel = thread::spawn(move || {
            // This is an ordinary file: FROZEN over FREEZING leaves two more letters,
            // until set_len(6) cuts them off.
            let is_frozen_written =
                || fs::read_to_string(&file).unwrap().starts_with("FROZEN");
            let open = || OpenOptions::new().write(true).open(&file).unwrap();
            while !is_frozen_written() {}
            open().write_all(b"FREEZING").unwrap();
            while !is_frozen_written() {}
            open().set_len("FROZEN".len() as u64).unwrap();
        });
        freeze_v1(&Directory::existing(&top.unified(), path)).unwrap();
        kernel.join().unwrap();
    }
}
