//! The resources that a container has used.

use std::time::Duration;

use kit::Size;

use crate::cgroup::Cgroup;
use crate::controller::{Controller, Version};
use crate::directory::{Directory, unified};

/// The resources that a container has used. A field is `None` if this kernel does not
/// count that resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The CPU time of all processes.
    pub cpu: Option<Cpu>,
    /// The highest memory usage, in bytes (version 2: Linux 5.19).
    pub memory_peak: Option<u64>,
    /// The memory usage now, in bytes.
    pub memory: Option<u64>,
    /// The highest number of processes and threads (Linux 6.1).
    pub pids_peak: Option<u64>,
    /// The number of processes and threads now.
    pub pids: Option<u64>,
    /// The bytes read from and written to block devices. Reads from the page cache do
    /// not count.
    pub io: Option<Io>,
}

/// CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// User and kernel mode together.
    pub total: Duration,
    /// In user mode.
    pub user: Duration,
    /// In kernel mode.
    pub system: Duration,
}

/// Block I/O, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Io {
    /// Read from devices.
    pub read: u64,
    /// Written to devices.
    pub written: u64,
}

impl Cgroup {
    /// Reads the resources that the container has used so far.
    pub fn stats(&self) -> Stats {
        let number = |controller, v2: &str, v1: &str| {
            self.directory_of(controller)
                .and_then(|it| it.read_number(it.by_version(v2, v1)))
        };
        use Controller::{Memory, Pids};
        Stats {
            cpu: self.cpu(),
            memory_peak: number(Memory, "memory.peak", "memory.max_usage_in_bytes"),
            memory: number(Memory, "memory.current", "memory.usage_in_bytes"),
            pids_peak: number(Pids, "pids.peak", "pids.peak"),
            pids: number(Pids, "pids.current", "pids.current"),
            io: self.directory_of(Controller::Io).and_then(io),
        }
    }

    /// Reads the CPU time. On version 2 every cgroup counts it, without a controller.
    fn cpu(&self) -> Option<Cpu> {
        if let Some(cgroup) = self.directory_of(Controller::Cpuacct) {
            let time = |file| cgroup.read_number(file).map(Duration::from_nanos);
            let (user, system) =
                (time("cpuacct.usage_user")?, time("cpuacct.usage_sys")?);
            return Some(Cpu { total: time("cpuacct.usage")?, user, system });
        }
        let cgroup = unified(self.directories())?;
        let time = |key| cgroup.read_keyed("cpu.stat", key).map(Duration::from_micros);
        Some(Cpu {
            total: time("usage_usec")?,
            user: time("user_usec")?,
            system: time("system_usec")?,
        })
    }
}

fn io(cgroup: &Directory) -> Option<Io> {
    let file =
        cgroup.by_version("io.stat", "blkio.throttle.io_service_bytes_recursive");
    let text = cgroup.read(file).ok()?;
    // Since Linux 6.10 version 1 counts a device only once some cgroup has a limit for
    // it. If no device has a line, the numbers of bytes are unknown.
    if cgroup.version() == Version::V1 && !text.contains("Read ") {
        return None;
    }
    Some(match cgroup.version() {
        Version::V2 => {
            Io { read: sum(&text, "rbytes="), written: sum(&text, "wbytes=") }
        }
        Version::V1 => Io { read: sum(&text, "Read "), written: sum(&text, "Write ") },
    })
}

/// Adds up the numbers after `key` in the lines of all devices: `8:0 rbytes=4096
/// wbytes=0 …` or `8:0 Read 4096`.
fn sum(text: &str, key: &str) -> u64 {
    let value =
        |line: &str| line.split_once(key)?.1.split(' ').next()?.parse::<u64>().ok();
    text.lines().filter_map(value).sum()
}

impl Stats {
    /// Returns the lines of `--stats`. `wall` is the time from start to end.
    pub fn report(self, wall: Duration) -> String {
        let unknown = || "not counted by this kernel here".to_string();
        let seconds = |time: Duration| format!("{:.3}s", time.as_secs_f64());
        let cpu = self.cpu.map_or_else(unknown, |Cpu { total, user, system }| {
            let (user, system) = (seconds(user), seconds(system));
            format!("{} (user {user}, system {system})", seconds(total))
        });
        let memory = self
            .memory_peak
            .map_or_else(unknown, |bytes| format!("{} at most", Size(bytes)));
        let pids =
            self.pids_peak.map_or_else(unknown, |count| format!("{count} at most"));
        let io = self.io.map_or_else(unknown, |Io { read, written }| {
            format!("{} read, {} written", Size(read), Size(written))
        });
        let wall = seconds(wall);
        format!(
            "wall    {wall}\ncpu     {cpu}\nmemory  {memory}\npids    {pids}\nio      {io}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_io_is_summed_over_devices() {
        let v2 = "8:0 rbytes=4096 wbytes=1 rios=1 wios=0 dbytes=9 dios=0\n8:16 rbytes=4 wbytes=2 rios=0\n";
        assert_eq!((sum(v2, "rbytes="), sum(v2, "wbytes=")), (4100, 3));
        let v1 = "8:0 Read 10\n8:0 Write 5\n8:0 Total 15\n8:16 Read 1\nTotal 16\n";
        assert_eq!((sum(v1, "Read "), sum(v1, "Write ")), (11, 5));
    }

    #[test]
    fn a_report_has_a_line_for_each_resource_also_if_it_is_not_counted() {
        let cpu = Cpu {
            total: Duration::from_millis(812),
            user: Duration::from_millis(700),
            system: Duration::from_millis(112),
        };
        let stats =
            Stats { cpu: Some(cpu), memory_peak: Some(3 << 19), ..Stats::default() };
        let lines = "wall    2.000s\ncpu     0.812s (user 0.700s, system 0.112s)\nmemory  1.5MiB at most\n\
                     pids    not counted by this kernel here\nio      not counted by this kernel here";
        assert_eq!(stats.report(Duration::from_secs(2)), lines);
    }
}
