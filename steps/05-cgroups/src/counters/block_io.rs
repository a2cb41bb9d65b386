//! The counters of block devices.

use serde::Serialize;

use crate::controller::Version;
use crate::counters::pressure::{Pressure, pressure};
use crate::counters::zero::is_zero;
use crate::directory::Directory;

/// Block devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockIoCounters {
    /// Bytes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlockIoEntry>,
    /// Operations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlockIoEntry>,
    /// The time lost by waiting for devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// A counter of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BlockIoEntry {
    /// The number of its driver.
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    /// Its number within the driver.
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    /// `Read`, `Write`, `Discard`, and on version 1 `Sync`, `Async` and `Total`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    /// Bytes or operations.
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

pub(super) fn read(cgroup: &Directory) -> BlockIoCounters {
    let text = |file| cgroup.read(file).unwrap_or_default();
    match cgroup.version() {
        Version::V1 => BlockIoCounters {
            io_service_bytes_recursive: on_v1(&text(
                "blkio.throttle.io_service_bytes_recursive",
            )),
            io_serviced_recursive: on_v1(&text("blkio.throttle.io_serviced_recursive")),
            psi: None,
        },
        Version::V2 => {
            let stat = text("io.stat");
            let names = |read, write, discard| {
                [(read, "Read"), (write, "Write"), (discard, "Discard")]
            };
            BlockIoCounters {
                io_service_bytes_recursive: on_v2(
                    &stat,
                    names("rbytes", "wbytes", "dbytes"),
                ),
                io_serviced_recursive: on_v2(&stat, names("rios", "wios", "dios")),
                psi: pressure(cgroup, "io.pressure"),
            }
        }
    }
}

/// Reads lines such as `8:0 Read 4096`. The line of the total has no device.
fn on_v1(text: &str) -> Vec<BlockIoEntry> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        entry(words.next()?, words.next()?, words.next()?)
    };
    text.lines().filter_map(entry).collect()
}

/// Reads lines such as `8:0 rbytes=4096 wbytes=0 rios=1`.
fn on_v2(text: &str, names: [(&str, &str); 3]) -> Vec<BlockIoEntry> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(device) = words.next() else { continue };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let operation = names.iter().find(|(name, _)| *name == key);
            entries.extend(operation.and_then(|(_, op)| entry(device, op, value)));
        }
    }
    entries
}

fn entry(device: &str, op: &str, value: &str) -> Option<BlockIoEntry> {
    let (major, minor) = device.split_once(':')?;
    Some(BlockIoEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        op: op.into(),
        value: value.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_operations_are_read_from_either_version() {
        let entry = |op: &str, value| BlockIoEntry {
            major: 8,
            minor: 16,
            op: op.into(),
            value,
        };
        let v1 = "8:16 Read 10\n8:16 Total 15\nTotal 15\n";
        assert_eq!(on_v1(v1), [entry("Read", 10), entry("Total", 15)]);
        let v2 = "8:16 rbytes=4096 wbytes=1 rios=7 dbytes=0\n";
        let names = [("rbytes", "Read"), ("wbytes", "Write"), ("dbytes", "Discard")];
        let expected = [entry("Read", 4096), entry("Write", 1), entry("Discard", 0)];
        assert_eq!(on_v2(v2, names), expected);
    }
}
