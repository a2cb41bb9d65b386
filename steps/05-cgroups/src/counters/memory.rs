//! The counters of memory.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::controller::Version;
use crate::counters::pressure::{Pressure, pressure};
use crate::counters::zero::is_zero;
use crate::directory::Directory;

/// Memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MemoryCounters {
    /// The page cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    /// All memory.
    pub usage: MemoryEntry,
    /// Memory and swap together.
    pub swap: MemoryEntry,
    /// Memory of the kernel. Version 1 only.
    pub kernel: MemoryEntry,
    /// TCP buffers. Version 1 only.
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryEntry,
    /// All of memory.stat.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    /// The time lost by waiting for memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// A kind of memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct MemoryEntry {
    /// The limit; 2^64 - 1 for none on version 2.
    pub limit: u64,
    /// In use.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The highest usage.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// The number of times that the limit was reached. Version 1 only.
    pub failcnt: u64,
}

pub(super) fn read(cgroup: &Directory) -> MemoryCounters {
    let raw = stat(&cgroup.read("memory.stat").unwrap_or_default());
    let counter = |key: &str| raw.get(key).copied().unwrap_or_default();
    let psi = pressure(cgroup, "memory.pressure");
    match cgroup.version() {
        Version::V1 => MemoryCounters {
            cache: counter("cache"),
            usage: on_v1(cgroup, "memory"),
            swap: on_v1(cgroup, "memory.memsw"),
            kernel: on_v1(cgroup, "memory.kmem"),
            kernel_tcp: on_v1(cgroup, "memory.kmem.tcp"),
            raw,
            psi: None,
        },
        Version::V2 => {
            let usage = on_v2(cgroup, "memory");
            let swap = on_v2(cgroup, "memory.swap");
            let both = MemoryEntry {
                limit: swap.limit.saturating_add(usage.limit),
                usage: swap.usage + usage.usage,
                ..swap
            };
            let cache = counter("file");
            MemoryCounters { cache, usage, swap: both, raw, psi, ..Default::default() }
        }
    }
}

fn on_v1(cgroup: &Directory, prefix: &str) -> MemoryEntry {
    let number =
        |name| cgroup.read_number(&format!("{prefix}.{name}")).unwrap_or_default();
    MemoryEntry {
        limit: number("limit_in_bytes"),
        usage: number("usage_in_bytes"),
        max: number("max_usage_in_bytes"),
        failcnt: number("failcnt"),
    }
}

fn on_v2(cgroup: &Directory, prefix: &str) -> MemoryEntry {
    let number = |name| cgroup.read_number(&format!("{prefix}.{name}"));
    MemoryEntry {
        limit: number("max").unwrap_or(u64::MAX),
        usage: number("current").unwrap_or_default(),
        max: number("peak").unwrap_or_default(),
        failcnt: 0,
    }
}

fn stat(text: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (key, number) = line.split_once(' ')?;
        Some((key.to_string(), number.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}
