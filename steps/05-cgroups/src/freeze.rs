//! Freeze and thaw: all processes of a cgroup stand still, and go on.

use anyhow::Result;
use kit::Failure;

use crate::controller::Version;
use crate::directory::Directory;
use crate::{events, freezer};

/// Stops all processes, and returns when they stand still.
pub(crate) fn freeze(directories: &[Directory]) -> Result<()> {
    match means(directories)? {
        Means::Unified(cgroup) => {
            cgroup.write("all processes in it stand still", "cgroup.freeze", 1)?;
            // When one does not stop, the rest must not stand for ever.
            events::wait(cgroup, "frozen", 1).inspect_err(|_| drop(thaw(directories)))
        }
        Means::Freezer(cgroup) => freezer::freeze(cgroup),
    }
}

/// Lets them go on.
pub(crate) fn thaw(directories: &[Directory]) -> Result<()> {
    match means(directories)? {
        Means::Unified(cgroup) => {
            cgroup.write("its processes go on", "cgroup.freeze", 0)?;
            events::wait(cgroup, "frozen", 0)
        }
        Means::Freezer(cgroup) => freezer::thaw(cgroup),
    }
}

/// How processes are frozen here.
enum Means<'a> {
    /// cgroup.freeze, which every cgroup of version 2 has (Linux 5.2).
    Unified(&'a Directory),
    /// The freezer controller of version 1.
    Freezer(&'a Directory),
}

fn means(directories: &[Directory]) -> Result<Means<'_>> {
    let unified =
        directories.iter().find(|cgroup| cgroup.hierarchy().version() == Version::V2);
    unified
        .map(Means::Unified)
        .or_else(|| freezer::of(directories).map(Means::Freezer))
        .ok_or_else(|| {
            Failure::new(
                "no hierarchy can freeze: neither version 2 nor the freezer is mounted",
            )
            .into()
        })
}
