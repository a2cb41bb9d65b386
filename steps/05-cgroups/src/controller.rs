//! The controllers: what a cgroup can limit or count, and what either version calls it.

use std::collections::BTreeSet;

/// The version of a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy for each controller, or for a few.
    V1,
    /// The unified hierarchy.
    V2,
}

/// What a cgroup can limit or count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    /// CPU time: how much, and whose turn.
    Cpu,
    /// CPU time used; on version 2 every cgroup counts it.
    Cpuacct,
    /// Which CPUs.
    Cpuset,
    /// Memory and swap.
    Memory,
    /// Block devices; version 1 calls it blkio.
    Io,
    /// Processes and threads.
    Pids,
    /// Stops all processes; on version 2 every cgroup can.
    Freezer,
}

impl Controller {
    const ALL: [Controller; 7] = {
        use Controller::*;
        [Cpu, Cpuacct, Cpuset, Memory, Io, Pids, Freezer]
    };

    /// What the kernel calls it.
    pub fn name(self, version: Version) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Cpuacct => "cpuacct",
            Controller::Cpuset => "cpuset",
            Controller::Memory => "memory",
            Controller::Io if version == Version::V1 => "blkio",
            Controller::Io => "io",
            Controller::Pids => "pids",
            Controller::Freezer => "freezer",
        }
    }

    /// The controllers that `names` names; others (devices, hugetlb, …) are not Kiste's
    /// concern.
    pub(crate) fn named<'a>(
        names: impl IntoIterator<Item = &'a str>,
        version: Version,
    ) -> BTreeSet<Self> {
        let of = |name| {
            Self::ALL.into_iter().find(|controller| controller.name(version) == name)
        };
        names.into_iter().filter_map(of).collect()
    }
}
