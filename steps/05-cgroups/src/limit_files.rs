//! The table of the limits: the file and the value of each, on either version.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Display;

use anyhow::Result;
use kit::{Failure, Hint};
use nix::errno::Errno;

use crate::controller::{Controller, Version};
use crate::device::DeviceRates;
use crate::directory::Directory;
use crate::limits::{Limit, Limits};
use crate::values::{Max, Swap};

/// A file of a cgroup, and the value that is written into it.
pub(crate) type FileValue = (Cow<'static, str>, String);

/// The writes that set a limit. A write has one file or two alternatives: it goes into
/// the first file that this kernel has.
pub(crate) type Writes = Vec<Vec<FileValue>>;

fn one(file: &'static str, value: impl Display) -> Writes {
    vec![vec![(file.into(), value.to_string())]]
}

fn either(first: (&'static str, u64), second: (&'static str, u64)) -> Writes {
    let file_value =
        |(file, value): (&'static str, u64)| (file.into(), value.to_string());
    vec![[first, second].map(file_value).into()]
}

impl Limits {
    // ANCHOR: files
    /// Returns the file and the value of a limit, or `None` when the limit is not set.
    /// If there are two alternative files, the first that this kernel has is written
    /// (cgroup-v2.rst, "Controllers"; cgroup-v1/*.rst).
    fn files(&self, limit: Limit, version: Version) -> Option<Writes> {
        use Version::{V1, V2};
        Some(match (limit, version) {
            (Limit::Memory, V2) => one("memory.max", self.memory?),
            (Limit::Memory, V1) => one("memory.limit_in_bytes", self.memory?.on_v1()),
            (Limit::CpuQuota, V2) => one("cpu.max", self.cpus?.quota_and_period()),
            (Limit::CpuQuota, V1) => one("cpu.cfs_quota_us", self.cpus?.quota.on_v1()),
            (Limit::CpuPeriod, V2) => return None, // cpu.max has it
            (Limit::CpuPeriod, V1) => one("cpu.cfs_period_us", self.cpus?.period),
            (Limit::Pids, _) => one("pids.max", self.pids?),
            // ANCHOR_END: files
            // ANCHOR: others
            // Version 2 counts swap alone, version 1 memory and swap together.
            (Limit::Swap, V2) => one("memory.swap.max", self.swap_alone()?),
            (Limit::Swap, V1) => {
                one("memory.memsw.limit_in_bytes", self.swap?.total().on_v1())
            }
            (Limit::MemoryReservation, V2) => one("memory.low", self.memory_low()?),
            (Limit::MemoryReservation, V1) => {
                one("memory.soft_limit_in_bytes", self.memory_reservation?.on_v1())
            }
            (Limit::CpuShares, V2) => one("cpu.weight", self.cpu_shares?.weight()),
            (Limit::CpuShares, V1) => one("cpu.shares", self.cpu_shares?.0),
            (Limit::Cpuset, _) => one("cpuset.cpus", self.cpuset_cpus.as_ref()?),
            (Limit::BlkioWeight, V2) => {
                let weight = self.blkio_weight?;
                either(("io.bfq.weight", weight.0), ("io.weight", weight.io_weight()))
            }
            (Limit::BlkioWeight, V1) => {
                let weight = self.blkio_weight?.0;
                either(("blkio.weight", weight), ("blkio.bfq.weight", weight))
            }
            // Version 1 has no such file: `missing_file` makes the error.
            (Limit::MemoryHigh, _) => one("memory.high", self.memory_high?),
            // Each device has a line of its own.
            (
                Limit::DeviceReadBps
                | Limit::DeviceWriteBps
                | Limit::DeviceReadIops
                | Limit::DeviceWriteIops,
                _,
            ) => self.rate_lines(limit, version)?,
        })
    }
    // ANCHOR_END: others

    fn swap_alone(&self) -> Option<Max> {
        Some(self.swap?.without(self.memory.unwrap_or(Max::Unlimited)))
    }

    /// Returns 0 for no reservation: `max` would protect all memory of the cgroup.
    fn memory_low(&self) -> Option<u64> {
        Some(match self.memory_reservation? {
            Max::Unlimited => 0,
            Max::At(bytes) => bytes,
        })
    }

    /// Returns a write for each device, or `None` where no device has such a limit.
    /// Version 2 has one file for all four kinds of rate, version 1 a file for each.
    fn rate_lines(&self, limit: Limit, version: Version) -> Option<Writes> {
        let DeviceRates { rates, key, v1_file } = self.device_rates(limit)?;
        let file = match version {
            Version::V2 => "io.max",
            Version::V1 => v1_file,
        };
        let writes =
            rates.iter().map(|rate| vec![(file.into(), rate.line(key, version))]);
        (!rates.is_empty()).then(|| writes.collect())
    }

    /// Returns the controllers that these limits need.
    pub(crate) fn controllers(&self) -> BTreeSet<Controller> {
        let is_set = |limit: &Limit| self.files(*limit, Version::V2).is_some();
        Limit::ALL.into_iter().filter(is_set).map(Limit::controller).collect()
    }

    /// Writes a limit into its file, if the limit is set and its controller is in this
    /// hierarchy.
    pub(crate) fn write(&self, limit: Limit, cgroup: &Directory) -> Result<()> {
        let hierarchy = &cgroup.hierarchy;
        let writes = self.files(limit, hierarchy.version);
        let writes = writes.filter(|_| hierarchy.has_controller(limit.controller()));
        for files in writes.iter().flatten() {
            let is_missing = write_first(&limit.to_string(), files, cgroup)?;
            let is_implied =
                matches!((limit, self.swap), (Limit::Swap, Some(Swap::Implied(_))));
            if is_missing && !is_implied {
                let (controller, fix) = (limit.controller(), limit.fix());
                let missing = missing_file(&limit, controller, files, cgroup);
                return Err(missing.hint(fix).into());
            }
        }
        Ok(())
    }
}

/// Writes into the first of `files` that the kernel has. Returns whether all of them
/// are missing.
pub(crate) fn write_first(
    name: &str,
    files: &[FileValue],
    cgroup: &Directory,
) -> Result<bool> {
    for (file, value) in files {
        match cgroup.write(name, file, value) {
            Err(error) if kit::errno(&error) == Some(Errno::ENOENT) => {}
            written => {
                return written
                    .map(|()| false)
                    .hint_on(
                        Errno::EINVAL,
                        "the kernel refuses this value: a cgroup above may allow less",
                    )
                    .hint_on(Errno::EBUSY, "the cgroup already uses more than that")
                    .hint_on(Errno::EACCES, "these cgroups belong to root: use sudo")
                    .hint_on(Errno::ENODEV, hint_on_missing_device(file));
            }
        }
    }
    Ok(true)
}

fn hint_on_missing_device(file: &str) -> &'static str {
    match file {
        "rdma.max" => "there is no such RDMA device: `ls /sys/class/infiniband`",
        _ => "a rate is for a whole disk, not for a partition: `lsblk --paths`",
    }
}

/// Returns the error for a limit that has no file in the cgroup.
pub(crate) fn missing_file(
    limit: &dyn Display,
    controller: Controller,
    files: &[FileValue],
    cgroup: &Directory,
) -> Failure {
    let files: Vec<_> = files.iter().map(|(file, _)| file.as_ref()).collect();
    let what = format!(
        "{limit}: the {} controller of this kernel has no {} (looked in {})",
        controller.name(cgroup.version()),
        files.join(" or "),
        cgroup.path().display(),
    );
    Failure::new(what)
}
