//! The controllers, and their names on either version.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;

/// The version of a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// A hierarchy for each controller, or for a few.
    V1,
    /// The unified hierarchy.
    V2,
}

/// A controller: the part of the kernel that limits or counts one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Controller {
    /// CPU time: the limit and the share.
    Cpu,
    /// The counter of CPU time. On version 2 every cgroup has it.
    Cpuacct,
    /// The CPUs on which processes may run.
    Cpuset,
    /// Memory and swap.
    Memory,
    /// Block devices; version 1 calls it blkio.
    Io,
    /// Processes and threads.
    Pids,
    /// Freezes all processes. On version 2 every cgroup can do it.
    Freezer,
    /// The devices that processes may open and make. On version 2 a BPF program
    /// decides.
    Devices,
    /// Huge pages.
    Hugetlb,
    /// The class of network packets. Version 1 only.
    NetCls,
    /// The priority of network packets. Version 1 only.
    NetPrio,
    /// Counters of perf(1). On version 2 every cgroup has them.
    PerfEvent,
    /// Remote direct memory access.
    Rdma,
    /// Resources without a controller of their own.
    Misc,
    /// The hierarchy of version 1 in which systemd keeps its units. It limits nothing.
    Systemd,
}

impl Controller {
    const ALL: [Controller; 15] = {
        use Controller::*;
        [
            Cpu, Cpuacct, Cpuset, Memory, Io, Pids, Freezer, Devices, Hugetlb, NetCls,
            NetPrio, PerfEvent, Rdma, Misc, Systemd,
        ]
    };

    /// The controllers of [`Limits`](crate::Limits), and those that count, freeze and
    /// kill. The others belong to [`Resources`](crate::Resources).
    pub(crate) const OF_LIMITS: [Controller; 7] = {
        use Controller::*;
        [Cpu, Cpuacct, Cpuset, Memory, Io, Pids, Freezer]
    };

    /// Returns the name that the kernel uses.
    pub(crate) fn name(self, version: Version) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Cpuacct => "cpuacct",
            Controller::Cpuset => "cpuset",
            Controller::Memory => "memory",
            Controller::Io if version == Version::V1 => "blkio",
            Controller::Io => "io",
            Controller::Pids => "pids",
            Controller::Freezer => "freezer",
            Controller::Devices => "devices",
            Controller::Hugetlb => "hugetlb",
            Controller::NetCls => "net_cls",
            Controller::NetPrio => "net_prio",
            Controller::PerfEvent => "perf_event",
            Controller::Rdma => "rdma",
            Controller::Misc => "misc",
            Controller::Systemd => "name=systemd",
        }
    }

    /// Finds the controllers of these names. Other names are ignored.
    pub(crate) fn named<'a>(
        names: impl IntoIterator<Item = &'a str>,
        version: Version,
    ) -> BTreeSet<Self> {
        let of = |name| {
            Self::ALL.into_iter().find(|controller| controller.name(version) == name)
        };
        names.into_iter().filter_map(of).collect()
    }

    /// Reads a file of version 2 that lists controllers, such as cgroup.controllers.
    pub(crate) fn listed(file: &Path) -> Result<BTreeSet<Self>> {
        let names = kit::read_kernel_file(file)
            .with_context(|| format!("read {}", file.display()))?;
        Ok(Self::named(names.split_whitespace(), Version::V2))
    }

    /// Does the same, and finds none in a file that a user may not read.
    pub(crate) fn listed_if_readable(file: &Path) -> Result<BTreeSet<Self>> {
        match Self::listed(file) {
            Err(error) if kit::errno(&error) == Some(Errno::EACCES) => {
                Ok(BTreeSet::new())
            }
            listed => listed,
        }
    }
}
