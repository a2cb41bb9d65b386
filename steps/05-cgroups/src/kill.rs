//! Kills all processes of a cgroup.

use anyhow::Result;
use nix::errno::Errno;

use crate::controller::Version;
use crate::directory::Directory;
use crate::{events, freezer};

// ANCHOR: kill
/// Kills every process in the cgroup of version 2, and returns when they are gone.
///
/// To signal one after the other is a race that a fork bomb wins. cgroup.kill is one
/// write, and the kernel kills also what is being forked at that moment (Linux 5.14).
// Task 5.4: one write to cgroup.kill, then wait until the kernel says that it is empty.
pub(crate) fn kill(directories: &[Directory]) -> Result<()> {
    if let Some(unified) =
        directories.iter().find(|it| it.hierarchy().version() == Version::V2)
    {
        match unified.write("kill every process in it", "cgroup.kill", 1) {
            // crate::signals
            Err(error) if kit::errno(&error) == Some(Errno::ENOENT) => return Ok(()),
            written => written?,
        }
        if unified.keyed("cgroup.events", "populated") != Some(0) {
            // what it holds does not die
            freezer::of(directories).map_or(Ok(()), freezer::thaw_if_frozen)?;
            events::wait(unified, "populated", 0)?;
        }
    }
    Ok(()) // version 1 has nothing that kills at once: crate::signals
}
// ANCHOR_END: kill
