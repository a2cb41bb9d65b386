//! All counters of a cgroup, in the form in which `runc events --stats` prints them
//! ([types/events.go](https://github.com/opencontainers/runc/blob/main/types/events.go)):
//! programs parse it.

mod block_io;
mod memory;
mod pressure;
mod zero;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cgroup::Cgroup;
use crate::controller::{Controller, Version};
use crate::cpuset::CpuList;
use crate::directory::{Directory, unified};

pub use block_io::{BlockIoCounters, BlockIoEntry};
pub use memory::{MemoryCounters, MemoryEntry};
use pressure::pressure;
pub use pressure::{Pressure, PressureLine};
use zero::is_zero;

/// All counters of a cgroup. A counter that this kernel does not have is 0 or left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Counters {
    /// CPU time.
    pub cpu: CpuCounters,
    /// The CPUs and memory nodes.
    pub cpuset: CpusetCounters,
    /// Memory, in bytes.
    pub memory: MemoryCounters,
    /// Processes and threads.
    pub pids: PidsCounters,
    /// Block devices.
    pub blkio: BlockIoCounters,
    /// Huge pages, by their size.
    pub hugetlb: BTreeMap<String, HugepageCounters>,
    /// Always empty: resctrl is not used.
    pub intel_rdt: BTreeMap<String, u64>,
    /// Always null: the network is made by others.
    pub network_interfaces: Option<()>,
}

/// CPU time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CpuCounters {
    /// The time that was used, in nanoseconds.
    pub usage: CpuUsage,
    /// The time that was refused by the quota.
    pub throttling: Throttling,
    /// The time lost by waiting for a CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// CPU time that was used, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CpuUsage {
    /// User and kernel mode together.
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    /// On each CPU. Version 1 only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// In kernel mode.
    pub kernel: u64,
    /// In user mode.
    pub user: u64,
}

/// CPU time that was refused by the quota.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    /// The periods in which a process wanted to run.
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    /// The periods in which the quota was used up.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    /// The time that processes waited for the next period, in nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// The CPUs and memory nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CpusetCounters {
    /// The CPUs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u32>,
    /// The memory nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u32>,
}

/// Processes and threads.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PidsCounters {
    /// Their number.
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// The limit; 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Huge pages of a size, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HugepageCounters {
    /// In use.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The highest usage.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// The number of times that the limit was reached.
    pub failcnt: u64,
}

impl Cgroup {
    /// Reads all counters.
    pub fn counters(&self) -> Counters {
        let of = |controller| self.directory_of(controller);
        Counters {
            cpu: self.cpu_counters(),
            cpuset: of(Controller::Cpuset).map(cpuset).unwrap_or_default(),
            memory: of(Controller::Memory).map(memory::read).unwrap_or_default(),
            pids: of(Controller::Pids).map(pids).unwrap_or_default(),
            blkio: of(Controller::Io).map(block_io::read).unwrap_or_default(),
            hugetlb: of(Controller::Hugetlb).map(hugepages).unwrap_or_default(),
            ..Counters::default()
        }
    }

    fn cpu_counters(&self) -> CpuCounters {
        let mut usage = CpuUsage::default();
        if let Some(cpuacct) = self.directory_of(Controller::Cpuacct) {
            let number = |file| cpuacct.read_number(file).unwrap_or_default();
            usage.total = number("cpuacct.usage");
            usage.kernel = number("cpuacct.usage_sys");
            usage.user = number("cpuacct.usage_user");
            usage.percpu =
                numbers(&cpuacct.read("cpuacct.usage_percpu").unwrap_or_default());
        } else if let Some(cgroup) = unified(self.directories()) {
            let time = |key| nanoseconds(cgroup, key);
            usage.total = time("usage_usec");
            usage.kernel = time("system_usec");
            usage.user = time("user_usec");
        }
        let cpu = self.directory_of(Controller::Cpu);
        let throttling = cpu.map(throttling).unwrap_or_default();
        let psi = cpu.and_then(|it| pressure(it, "cpu.pressure"));
        CpuCounters { usage, throttling, psi }
    }
}

/// Returns a time of cpu.stat of version 2, which counts microseconds.
fn nanoseconds(cgroup: &Directory, key: &str) -> u64 {
    cgroup.read_keyed("cpu.stat", key).unwrap_or_default() * 1000
}

fn throttling(cpu: &Directory) -> Throttling {
    let number = |key| cpu.read_keyed("cpu.stat", key).unwrap_or_default();
    Throttling {
        periods: number("nr_periods"),
        throttled_periods: number("nr_throttled"),
        throttled_time: match cpu.version() {
            Version::V1 => number("throttled_time"),
            Version::V2 => nanoseconds(cpu, "throttled_usec"),
        },
    }
}

fn cpuset(cgroup: &Directory) -> CpusetCounters {
    let list = |file| {
        let text = cgroup.read(file).unwrap_or_default();
        text.parse::<CpuList>().map(|list| list.numbers()).unwrap_or_default()
    };
    CpusetCounters {
        cpus: list(cgroup.by_version("cpuset.cpus.effective", "cpuset.cpus")),
        mems: list(cgroup.by_version("cpuset.mems.effective", "cpuset.mems")),
    }
}

fn pids(cgroup: &Directory) -> PidsCounters {
    let number = |file| cgroup.read_number(file).unwrap_or_default();
    PidsCounters { current: number("pids.current"), limit: number("pids.max") }
}

fn hugepages(cgroup: &Directory) -> BTreeMap<String, HugepageCounters> {
    let usage = cgroup.by_version("current", "usage_in_bytes");
    let of_size = |file: &str| {
        let size = file.strip_prefix("hugetlb.")?.strip_suffix(usage)?;
        let size = size.strip_suffix('.').filter(|size| !size.contains('.'))?;
        let number = |name: &str| {
            cgroup.read_number(&format!("hugetlb.{size}.{name}")).unwrap_or_default()
        };
        let failcnt = match cgroup.version() {
            Version::V1 => number("failcnt"),
            Version::V2 => cgroup
                .read_keyed(&format!("hugetlb.{size}.events"), "max")
                .unwrap_or_default(),
        };
        let max = number("max_usage_in_bytes");
        Some((
            size.to_string(),
            HugepageCounters { usage: number(usage), max, failcnt },
        ))
    };
    cgroup.files().iter().filter_map(|file| of_size(file)).collect()
}

fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}
