//! Reads the values of options. 0 means that the option is not set, as in Docker.

use std::ops::RangeInclusive;

use kit::Size;

use crate::values::{BlkioWeight, CpuShares, Cpus, Max};

pub(super) fn memory(text: &str) -> Result<Max, String> {
    match Max::parse(text, |text| text.parse().map(|Size(bytes)| bytes))? {
        Max::At(bytes) if bytes != 0 && !Max::BYTES.contains(&bytes) => {
            let rule = "at least a page of memory: 4k (-1 for no limit)";
            let has_unit = text.ends_with(|last: char| last.is_ascii_alphabetic());
            Err(match has_unit {
                false => {
                    format!("{rule}; {text} is {bytes} bytes, did you mean {text}m?")
                }
                true => rule.into(),
            })
        }
        max => Ok(max),
    }
}

pub(super) fn pids(text: &str) -> Result<Max, String> {
    let rule = "a number of processes is at least 1 (-1 for no limit)";
    Max::parse(text, |text| number(text, Max::PROCESSES, rule))
}

/// Reads `--cpus`. `0` becomes a quota of 0, which sets no limit.
pub(super) fn cpus(text: &str) -> Result<Cpus, String> {
    match text {
        "0" => Ok(Cpus { quota: Max::At(0), period: Cpus::PERIOD }),
        text => text.parse(),
    }
}

pub(super) fn quota(text: &str) -> Result<Max, String> {
    let rule = "a CPU quota is at least 1000 microseconds (-1 for no limit)";
    Max::parse(text, |text| number(text, Cpus::QUOTAS, rule))
}

pub(super) fn period(text: &str) -> Result<u64, String> {
    number(text, Cpus::PERIODS, "a CPU period is 1000 to 1000000 microseconds")
}

pub(super) fn shares(text: &str) -> Result<CpuShares, String> {
    number(text, CpuShares::RANGE, "CPU shares are 2 to 262144").map(CpuShares)
}

pub(super) fn blkio_weight(text: &str) -> Result<BlkioWeight, String> {
    let rule = "a block I/O weight is 10 to 1000";
    number(text, BlkioWeight::RANGE, rule).map(BlkioWeight)
}

fn number(text: &str, range: RangeInclusive<u64>, rule: &str) -> Result<u64, String> {
    let is_valid = |number: &u64| *number == 0 || range.contains(number);
    text.parse().ok().filter(is_valid).ok_or(rule.into())
}
