//! The freezer controller of version 1 (cgroup-v1/freezer-subsystem.rst).

use anyhow::Result;
use kit::{Failure, Hint};

use crate::controller::Controller;
use crate::directory::Directory;
use crate::events::{Patience, STUCK};

const STATE: &str = "freezer.state";

/// The cgroup in the freezer's hierarchy; on version 2 there is none.
pub(crate) fn of(directories: &[Directory]) -> Option<&Directory> {
    directories.iter().find(|cgroup| cgroup.hierarchy().holds(Controller::Freezer))
}

/// Stops all processes in it.
///
/// It has no event, and may stay FREEZING for ever when a process forks at the wrong
/// moment, until FROZEN is written once more: so it is written and read until it holds.
pub(crate) fn freeze(cgroup: &Directory) -> Result<()> {
    let patience = Patience::new();
    loop {
        cgroup.write("all processes in it stand still", STATE, "FROZEN")?;
        if cgroup.read(STATE)?.trim() == "FROZEN" {
            return Ok(());
        }
        if !patience.pause() {
            // When one does not stop, the rest must not stand for ever.
            thaw(cgroup)?;
            let what = format!(
                "{}/{STATE}: still FREEZING after 10 seconds",
                cgroup.path().display()
            );
            return Err(Failure::new(what).into()).hint(STUCK);
        }
    }
}

/// Lets them go on.
pub(crate) fn thaw(cgroup: &Directory) -> Result<()> {
    cgroup.write("its processes go on", STATE, "THAWED")
}

/// Lets go what stands still in it and in the cgroups below, so that it can die:
/// SIGKILL does not reach a frozen process of version 1.
///
/// The container's root can mount the freezer and freeze in cgroups of its own, as long
/// as it has CAP_SYS_ADMIN (step 09 takes that away). When its PID 1 ends then, the
/// kernel waits for the frozen processes of the PID namespace before it tells of that
/// end, and so does the runtime: like for any container that does not end. Kill the
/// runtime, and `gc` gets here.
pub(crate) fn thaw_if_frozen(top: &Directory) -> Result<()> {
    for path in top.tree() {
        let cgroup = Directory::found(top.hierarchy(), path);
        if cgroup.read(STATE).is_ok_and(|state| state.trim() != "THAWED") {
            thaw(&cgroup)?;
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
    use crate::hierarchy::tests::Fake;

    #[test]
    fn it_is_asked_again_until_all_stand_still() {
        let top = Fake::new("freezer");
        let path = top.with("it", &[(STATE, "FREEZING")]);
        let file = path.join(STATE);
        let kernel = thread::spawn(move || {
            // What is written lies over what was there, and is longer than the word
            // until it is cut.
            let is_asked = || fs::read_to_string(&file).unwrap().starts_with("FROZEN");
            let open = || OpenOptions::new().write(true).open(&file).unwrap();
            while !is_asked() {}
            open().write_all(b"FREEZING").unwrap();
            while !is_asked() {}
            open().set_len("FROZEN".len() as u64).unwrap();
        });
        freeze(&Directory::found(&top.unified(), path)).unwrap();
        kernel.join().unwrap();
    }
}
