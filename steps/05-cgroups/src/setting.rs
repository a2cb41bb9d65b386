//! The limits that no option of step 5 sets: their names, files and values.

use std::fmt::{self, Display};

use anyhow::Result;
use kit::{Failure, FailureKind};
use nix::errno::Errno;

use crate::controller::{Controller, Version};
use crate::device::Device;
use crate::directory::Directory;
use crate::limit_files::{FileValue, Writes, missing_file, write_first};
use crate::values::{BlkioWeight, Max};

/// A limit of an OCI configuration that has no option in step 5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// How readily memory is swapped out: 0 to 100. Version 1 only.
    MemorySwappiness(u64),
    /// Processes that need more memory than there is wait, and are not killed. Version
    /// 1 only.
    OomKillerDisabled,
    /// Microseconds of unused CPU time that a later period may use, too.
    CpuBurst(u64),
    /// 1 for a cgroup that runs only when no other wants to, 0 for any other.
    CpuIdle(i64),
    /// The period of real-time scheduling in microseconds. Version 1 only.
    CpuRealtimePeriod(u64),
    /// Microseconds of real-time scheduling in each period. Version 1 only.
    CpuRealtimeRuntime(i64),
    /// The memory nodes: `0-1,3`.
    CpusetMems(String),
    /// The share of block I/O against the cgroups below. Version 1 only, and in kernels
    /// before 5.0.
    BlkioLeafWeight(u64),
    /// The share of one device's I/O.
    BlkioDeviceWeight(Device, u64),
    /// The same against the cgroups below.
    BlkioDeviceLeafWeight(Device, u64),
    /// Bytes in huge pages of a size, such as `2MB`.
    Hugepages(String, u64),
    /// The class of network packets, for traffic control. Version 1 only.
    NetworkClass(u32),
    /// The priority of the packets on a network interface. Version 1 only.
    NetworkPriority(String, u32),
    /// Handles and objects of an RDMA device.
    Rdma(String, Max, Max),
}

impl Setting {
    /// Returns the controller that enforces the limit.
    pub(crate) fn controller(&self) -> Controller {
        use Setting::*;
        match self {
            MemorySwappiness(_) | OomKillerDisabled => Controller::Memory,
            CpuBurst(_) | CpuIdle(_) | CpuRealtimePeriod(_) | CpuRealtimeRuntime(_) => {
                Controller::Cpu
            }
            CpusetMems(_) => Controller::Cpuset,
            BlkioLeafWeight(_) | BlkioDeviceWeight(..) | BlkioDeviceLeafWeight(..) => {
                Controller::Io
            }
            Hugepages(..) => Controller::Hugetlb,
            NetworkClass(_) => Controller::NetCls,
            NetworkPriority(..) => Controller::NetPrio,
            Rdma(..) => Controller::Rdma,
        }
    }

    /// Checks the rules that the kernel does not check.
    pub(crate) fn check(&self) -> Result<()> {
        let range = match self {
            Setting::MemorySwappiness(number) => Some((*number, 0..=100)),
            Setting::BlkioLeafWeight(number)
            | Setting::BlkioDeviceWeight(_, number)
            | Setting::BlkioDeviceLeafWeight(_, number) => {
                Some((*number, BlkioWeight::RANGE))
            }
            Setting::CpuIdle(number) => {
                Some((u64::try_from(*number).unwrap_or(u64::MAX), 0..=1))
            }
            Setting::Hugepages(size, _) if !is_page_size(size) => {
                let what = format!("{self}: {size:?} is no size of a huge page");
                let hint = "a size is a number and KB, MB or GB: `ls /sys/kernel/mm/hugepages`";
                return Err(Failure::new(what)
                    .hint(hint)
                    .with_kind(FailureKind::Usage)
                    .into());
            }
            _ => None,
        };
        match range {
            Some((number, range)) if !range.contains(&number) => {
                let (least, most) = (range.start(), range.end());
                let what = format!("{self} is outside {least} to {most}");
                Err(Failure::new(what).with_kind(FailureKind::Usage).into())
            }
            _ => Ok(()),
        }
    }

    /// Returns the writes that set the limit, or `None` where the version has no such
    /// limit.
    fn files(&self, version: Version) -> Option<Writes> {
        use Setting::*;
        use Version::{V1, V2};
        let one = |file: &'static str, value: &dyn Display| {
            Some(vec![vec![(file.into(), value.to_string())]])
        };
        match (self, version) {
            (MemorySwappiness(number), V1) => one("memory.swappiness", number),
            (OomKillerDisabled, V1) => one("memory.oom_control", &1),
            (CpuBurst(time), V2) => one("cpu.max.burst", time),
            (CpuBurst(time), V1) => one("cpu.cfs_burst_us", time),
            (CpuIdle(idle), _) => one("cpu.idle", idle),
            (CpuRealtimePeriod(time), V1) => one("cpu.rt_period_us", time),
            (CpuRealtimeRuntime(time), V1) => one("cpu.rt_runtime_us", time),
            (CpusetMems(list), _) => one("cpuset.mems", list),
            (BlkioLeafWeight(weight), V1) => one("blkio.leaf_weight", weight),
            (BlkioDeviceLeafWeight(device, weight), V1) => {
                one("blkio.leaf_weight_device", &line(*device, *weight))
            }
            (BlkioDeviceWeight(device, weight), V1) => Some(device_weight(
                ("blkio.weight_device", line(*device, *weight)),
                ("blkio.bfq.weight_device", line(*device, *weight)),
            )),
            (BlkioDeviceWeight(device, weight), V2) => Some(device_weight(
                ("io.bfq.weight", line(*device, *weight)),
                ("io.weight", line(*device, BlkioWeight(*weight).io_weight())),
            )),
            (Hugepages(size, bytes), version) => Some(hugepages(size, *bytes, version)),
            (NetworkClass(class), V1) => one("net_cls.classid", class),
            (NetworkPriority(interface, priority), V1) => {
                one("net_prio.ifpriomap", &format!("{interface} {priority}"))
            }
            (Rdma(device, handles, objects), _) => one(
                "rdma.max",
                &format!("{device} hca_handle={handles} hca_object={objects}"),
            ),
            _ => None,
        }
    }

    /// Writes the limit into its file, if its controller is in this hierarchy.
    ///
    /// # Errors
    /// When this version has no such limit, this kernel has no file for it, or the
    /// kernel refuses the value.
    pub(crate) fn write(&self, cgroup: &Directory) -> Result<()> {
        let controller = self.controller();
        if !cgroup.has_controller(controller) {
            return Ok(());
        }
        let Some(writes) = self.files(cgroup.version()) else {
            let what = format!("{self}: cgroup version 2 has no such limit");
            return Err(Failure::new(what).hint("leave it out").into());
        };
        for files in &writes {
            if write_first(&self.to_string(), files, cgroup)? && !is_optional(files) {
                let hint = "use a kernel that has it, or leave the limit out";
                let missing = missing_file(self, controller, files, cgroup);
                return Err(missing.hint(hint).into());
            }
        }
        Ok(())
    }

    /// Does the same, but leaves out a value that the kernel refuses as invalid. The
    /// caller writes it again after the limits on which it depends.
    pub(crate) fn write_if_valid(&self, cgroup: &Directory) -> Result<()> {
        match self.write(cgroup) {
            Err(error) if kit::errno(&error) == Some(Errno::EINVAL) => Ok(()),
            written => written,
        }
    }
}

fn line(Device { major, minor }: Device, weight: u64) -> String {
    format!("{major}:{minor} {weight}")
}

fn device_weight(
    first: (&'static str, String),
    second: (&'static str, String),
) -> Writes {
    vec![[first, second].map(|(file, line)| (file.into(), line)).into()]
}

/// Limits the use of pages, and also their reservation by mmap(2), which the kernel
/// counts apart since 5.7 (cgroup-v1/hugetlb.rst).
fn hugepages(size: &str, bytes: u64, version: Version) -> Writes {
    let names = match version {
        Version::V2 => ["max", "rsvd.max"],
        Version::V1 => ["limit_in_bytes", "rsvd.limit_in_bytes"],
    };
    let file = |name| format!("hugetlb.{size}.{name}").into();
    names.map(|name| vec![(file(name), bytes.to_string())]).into()
}

fn is_optional(files: &[FileValue]) -> bool {
    files.iter().any(|(file, _)| file.contains(".rsvd."))
}

/// Returns whether `size` is spelled as the kernel spells it in file names: `64KB`,
/// `2MB`, `1GB`.
fn is_page_size(size: &str) -> bool {
    let digits = ["KB", "MB", "GB"].iter().find_map(|unit| size.strip_suffix(unit));
    let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    digits.is_some_and(|it| !it.is_empty() && !it.starts_with('0') && is_number(it))
}

impl Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Setting::*;
        match self {
            MemorySwappiness(number) => write!(f, "memory swappiness {number}"),
            OomKillerDisabled => f.write_str("disabled OOM killer"),
            CpuBurst(time) => write!(f, "CPU burst {time}"),
            CpuIdle(idle) => write!(f, "CPU idle {idle}"),
            CpuRealtimePeriod(time) => write!(f, "CPU real-time period {time}"),
            CpuRealtimeRuntime(time) => write!(f, "CPU real-time runtime {time}"),
            CpusetMems(list) => write!(f, "memory nodes {list}"),
            BlkioLeafWeight(weight) => write!(f, "block I/O leaf weight {weight}"),
            BlkioDeviceWeight(device, weight) => {
                write!(f, "block I/O weight {}", line(*device, *weight))
            }
            BlkioDeviceLeafWeight(device, weight) => {
                write!(f, "block I/O leaf weight {}", line(*device, *weight))
            }
            Hugepages(size, bytes) => write!(f, "huge page limit {size} {bytes}"),
            NetworkClass(class) => write!(f, "network class {class}"),
            NetworkPriority(interface, priority) => {
                write!(f, "network priority {interface} {priority}")
            }
            Rdma(device, ..) => write!(f, "RDMA limit {device}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_page_size_is_a_part_of_a_file_name_and_nothing_else() {
        for size in ["64KB", "2MB", "1GB"] {
            assert!(is_page_size(size), "{size}");
        }
        for size in ["", "MB", "2", "2M", "../2MB", "02MB", "2/MB", "-2MB"] {
            assert!(!is_page_size(size), "{size}");
        }
    }

    #[test]
    fn a_number_outside_its_range_is_refused_with_the_name_of_the_limit() {
        let rule = |setting: Setting| setting.check().map_err(|it| it.to_string());
        assert_eq!(rule(Setting::MemorySwappiness(100)), Ok(()));
        assert_eq!(
            rule(Setting::MemorySwappiness(101)),
            Err("memory swappiness 101 is outside 0 to 100".into())
        );
        assert!(rule(Setting::CpuIdle(-1)).is_err());
        assert!(rule(Setting::BlkioLeafWeight(9)).is_err());
    }
}
