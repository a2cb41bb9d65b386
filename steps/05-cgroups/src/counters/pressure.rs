//! The time lost by waiting for a resource.

use serde::Serialize;

use crate::directory::Directory;

/// The share of time lost by waiting for a resource (accounting/psi.rst).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// Some processes waited.
    pub some: PressureLine,
    /// All processes waited.
    pub full: PressureLine,
}

/// The time lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PressureLine {
    /// Percent of the last 10 seconds.
    pub avg10: f64,
    /// Percent of the last minute.
    pub avg60: f64,
    /// Percent of the last 5 minutes.
    pub avg300: f64,
    /// Microseconds in all.
    pub total: u64,
}

/// Reads a file such as cpu.pressure, which version 2 has: `some avg10=0.00 avg60=0.00
/// avg300=0.00 total=0`.
pub(super) fn pressure(cgroup: &Directory, file: &str) -> Option<Pressure> {
    let text = cgroup.read(file).ok()?;
    let line = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind));
        let value = |key: &str| {
            let mut pairs = line?.split_whitespace();
            pairs.find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
        };
        let percent =
            |key| value(key).and_then(|it| it.parse().ok()).unwrap_or_default();
        PressureLine {
            avg10: percent("avg10"),
            avg60: percent("avg60"),
            avg300: percent("avg300"),
            total: value("total").and_then(|it| it.parse().ok()).unwrap_or_default(),
        }
    };
    Some(Pressure { some: line("some"), full: line("full") })
}
