//! The freezer controller of version 1 (cgroup-v1/freezer-subsystem.rst).

use anyhow::Result;
use kit::{Failure, Hint};

use crate::directory::Directory;
use crate::events::{Patience, STUCK};

const STATE: &str = "freezer.state";

/// Stops all processes in it.
///
/// It has no event, and may stay FREEZING for ever when a process forks at the wrong moment, until
/// FROZEN is written once more: so it is written and read until it holds.
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
            let what = format!("{}/{STATE}: still FREEZING after 10 seconds", cgroup.path().display());
            return Err(Failure::new(what).into()).hint(STUCK);
        }
    }
}

/// Lets them go on.
pub(crate) fn thaw(cgroup: &Directory) -> Result<()> {
    cgroup.write("they go on", STATE, "THAWED")
}

/// Lets them go on, if they stand still: a frozen process of version 1 does not die.
pub(crate) fn thaw_if_frozen(cgroup: &Directory) -> Result<()> {
    match cgroup.read(STATE) {
        Ok(state) if state.trim() != "THAWED" => thaw(cgroup),
        _ => Ok(()),
    }
}
