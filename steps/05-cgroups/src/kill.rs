//! Kills all processes of a cgroup.

use anyhow::Result;

use crate::controller::{Controller, Version};
use crate::directory::Directory;
use crate::{events, freezer, signals};

// ANCHOR: kill
/// Kills every process in the cgroup, and returns when they are gone.
///
/// To signal one after the other is a race that a fork bomb wins. cgroup.kill is one write, and the
/// kernel kills also what is being forked at that moment (Linux 5.14).
pub(crate) fn kill(directories: &[Directory]) -> Result<()> {
    // Task 5.4: one write to cgroup.kill, then wait until the kernel says that it is empty.
    if let Some(unified) = directories.iter().find(|cgroup| cgroup.has("cgroup.kill")) {
        unified.write("every process in it, at once", "cgroup.kill", 1)?;
        thaw(directories)?;
        events::wait(unified, "populated", 0)?;
    }
    // Version 1, where nothing kills at once.
    signals::kill_each(directories)
}
// ANCHOR_END: kill

/// A process that the freezer of version 1 holds does not die before it is let go.
fn thaw(directories: &[Directory]) -> Result<()> {
    let freezer = directories
        .iter()
        .find(|it| it.hierarchy().version() == Version::V1 && it.hierarchy().holds(Controller::Freezer));
    let Some(freezer) = freezer else { return Ok(()) };
    // The container may have made cgroups below, and frozen those.
    let tree = freezer.tree().into_iter().map(|path| Directory::found(freezer.hierarchy(), path));
    tree.into_iter().try_for_each(|cgroup| freezer::thaw_if_frozen(&cgroup))
}
