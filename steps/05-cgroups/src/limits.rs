//! The limits of a container, as data.

use std::fmt::{self, Display};

use crate::controller::Controller;
use crate::cpuset::CpuList;
use crate::device::{DeviceRate, DeviceRates};
use crate::values::{BlkioWeight, CpuShares, Cpus, Max, Swap};

/// The limits of a container. A limit that is `None` is not written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory, in bytes.
    pub memory: Option<Max>,
    /// Memory and swap together, in bytes.
    pub swap: Option<Swap>,
    /// The memory that the kernel reclaims last, in bytes.
    pub memory_reservation: Option<Max>,
    /// The memory beyond which the container is slowed down and its memory reclaimed,
    /// in bytes. Version 2 only.
    pub memory_high: Option<Max>,
    /// CPU time.
    pub cpus: Option<Cpus>,
    /// The share of CPU time when there is not enough for all.
    pub cpu_shares: Option<CpuShares>,
    /// The CPUs on which the container may run.
    pub cpuset_cpus: Option<CpuList>,
    /// The number of processes and threads.
    pub pids: Option<Max>,
    /// The share of block I/O when there is not enough for all.
    pub blkio_weight: Option<BlkioWeight>,
    /// Bytes in a second that are read from devices.
    pub device_read_bps: Vec<DeviceRate>,
    /// Bytes in a second that are written to devices.
    pub device_write_bps: Vec<DeviceRate>,
    /// Operations in a second that read from devices.
    pub device_read_iops: Vec<DeviceRate>,
    /// Operations in a second that write to devices.
    pub device_write_iops: Vec<DeviceRate>,
}

/// A limit of a container. Messages use its name, since the limit may come from an
/// option or from a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::memory`].
    Memory,
    /// The period of [`Limits::cpus`].
    CpuPeriod,
    /// The CPU time in each period of [`Limits::cpus`].
    CpuQuota,
    /// [`Limits::pids`].
    Pids,
    /// [`Limits::swap`].
    Swap,
    /// [`Limits::memory_reservation`].
    MemoryReservation,
    /// [`Limits::cpu_shares`].
    CpuShares,
    /// [`Limits::cpuset_cpus`].
    Cpuset,
    /// [`Limits::blkio_weight`].
    BlkioWeight,
    /// [`Limits::memory_high`].
    MemoryHigh,
    /// [`Limits::device_read_bps`].
    DeviceReadBps,
    /// [`Limits::device_write_bps`].
    DeviceWriteBps,
    /// [`Limits::device_read_iops`].
    DeviceReadIops,
    /// [`Limits::device_write_iops`].
    DeviceWriteIops,
}

impl Limit {
    /// All limits, in the order in which they are written. Version 1 needs this order:
    /// it refuses a limit of memory and swap together that is below the memory limit,
    /// and checks the quota against the period.
    pub(crate) const ALL: [Limit; 14] = {
        use Limit::*;
        [
            Memory,
            CpuPeriod,
            CpuQuota,
            Pids,
            Swap,
            MemoryReservation,
            CpuShares,
            Cpuset,
            BlkioWeight,
            MemoryHigh,
            DeviceReadBps,
            DeviceWriteBps,
            DeviceReadIops,
            DeviceWriteIops,
        ]
    };

    /// Returns the controller that enforces the limit.
    pub(crate) fn controller(self) -> Controller {
        match self {
            Limit::Memory
            | Limit::Swap
            | Limit::MemoryReservation
            | Limit::MemoryHigh => Controller::Memory,
            Limit::CpuPeriod | Limit::CpuQuota | Limit::CpuShares => Controller::Cpu,
            Limit::Cpuset => Controller::Cpuset,
            Limit::Pids => Controller::Pids,
            Limit::BlkioWeight
            | Limit::DeviceReadBps
            | Limit::DeviceWriteBps
            | Limit::DeviceReadIops
            | Limit::DeviceWriteIops => Controller::Io,
        }
    }

    /// Returns how to get a kernel that has the file of this limit.
    pub(crate) fn fix(self) -> &'static str {
        match self {
            Limit::Swap => {
                "swap is not counted: boot with swapaccount=1, on a kernel with CONFIG_SWAP"
            }
            Limit::BlkioWeight => {
                "weights need CONFIG_BLK_CGROUP_IOCOST (v2) or the bfq scheduler: `modprobe bfq`, then \
                 `echo bfq > /sys/block/DEVICE/queue/scheduler`"
            }
            Limit::MemoryHigh => {
                "version 1 has no such limit: boot with version 2 \
                 (`systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all`), or leave it out"
            }
            Limit::DeviceReadBps
            | Limit::DeviceWriteBps
            | Limit::DeviceReadIops
            | Limit::DeviceWriteIops => "use a kernel with CONFIG_BLK_DEV_THROTTLING",
            Limit::CpuPeriod | Limit::CpuQuota => {
                "use a kernel with CONFIG_CFS_BANDWIDTH"
            }
            _ => {
                "use a kernel that has it (`05-cgroups doctor` shows which limits it has), or leave the limit out"
            }
        }
    }
}

impl Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::Memory => "memory limit",
            Limit::CpuPeriod => "CPU period",
            Limit::CpuQuota => "CPU quota",
            Limit::Pids => "pids limit",
            Limit::Swap => "memory and swap limit",
            Limit::MemoryReservation => "memory reservation",
            Limit::CpuShares => "CPU shares",
            Limit::Cpuset => "CPU set",
            Limit::BlkioWeight => "block I/O weight",
            Limit::MemoryHigh => "memory high",
            Limit::DeviceReadBps => "device read rate in bytes",
            Limit::DeviceWriteBps => "device write rate in bytes",
            Limit::DeviceReadIops => "device read rate in operations",
            Limit::DeviceWriteIops => "device write rate in operations",
        })
    }
}

impl Limits {
    /// Returns the rates of a kind, or `None` for a limit that is not a rate.
    pub(crate) fn device_rates(&self, limit: Limit) -> Option<DeviceRates<'_>> {
        let (rates, key, v1_file) = match limit {
            Limit::DeviceReadBps => {
                (&self.device_read_bps, "rbps", "blkio.throttle.read_bps_device")
            }
            Limit::DeviceWriteBps => {
                (&self.device_write_bps, "wbps", "blkio.throttle.write_bps_device")
            }
            Limit::DeviceReadIops => {
                (&self.device_read_iops, "riops", "blkio.throttle.read_iops_device")
            }
            Limit::DeviceWriteIops => {
                (&self.device_write_iops, "wiops", "blkio.throttle.write_iops_device")
            }
            _ => return None,
        };
        Some(DeviceRates { rates, key, v1_file })
    }
}
