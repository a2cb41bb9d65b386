//! The values that limits have: amounts, CPU time and weights. Converts them to the
//! scale of either version.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// An upper limit: a number of bytes or processes, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Max {
    /// No limit of its own.
    Unlimited,
    /// This much and no more.
    At(u64),
}

impl Max {
    /// The memory limits that are valid, in bytes. The kernel counts memory in pages,
    /// and with less than a page no process could start.
    pub const BYTES: RangeInclusive<u64> = 4096..=u64::MAX;
    /// The process limits that are valid. pids.max takes at most PID_MAX_LIMIT
    /// (proc_sys_kernel(5), pid_max).
    pub const PROCESSES: RangeInclusive<u64> = 1..=4_194_304;

    /// Reads `-1` and `max` as no limit, and anything else with `parse_number`.
    pub(crate) fn parse<E>(
        text: &str,
        parse_number: impl FnOnce(&str) -> Result<u64, E>,
    ) -> Result<Self, E> {
        match text {
            "-1" | "max" => Ok(Max::Unlimited),
            text => parse_number(text).map(Max::At),
        }
    }

    /// Returns the number as cgroup v1 spells it: -1 for no limit.
    pub(crate) fn on_v1(self) -> String {
        match self {
            Max::Unlimited => "-1".into(),
            Max::At(number) => number.to_string(),
        }
    }
}

impl Display for Max {
    /// Writes it as cgroup v2 spells it: `max`, or the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Max::Unlimited => f.write_str("max"),
            Max::At(number) => write!(f, "{number}"),
        }
    }
}

/// The limit of memory and swap together, in bytes, as Docker and cgroup v1 count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The user asked for it. If it cannot be set, the container does not start.
    Asked(Max),
    /// It follows from the memory limit: as much swap as memory. It is left out where
    /// the kernel does not count swap.
    Implied(Max),
}

impl Swap {
    /// Returns the limit of memory and swap together.
    pub fn total(self) -> Max {
        let (Swap::Asked(total) | Swap::Implied(total)) = self;
        total
    }

    /// Returns the limit of swap alone, as cgroup v2 counts it.
    pub(crate) fn without(self, memory: Max) -> Max {
        match (self.total(), memory) {
            (Max::At(total), Max::At(memory)) => Max::At(total.saturating_sub(memory)),
            (total, _) => total,
        }
    }
}

/// A limit of CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus {
    /// Microseconds of CPU time in each period.
    pub quota: Max,
    /// The length of a period in microseconds.
    pub period: u64,
}

impl Cpus {
    /// The period in microseconds: 100 ms, the kernel's default (sched-bwc.rst).
    pub const PERIOD: u64 = 100_000;
    /// The quotas that are valid, in microseconds. The kernel accepts none below 1 ms.
    pub const QUOTAS: RangeInclusive<u64> = 1_000..=65_536 * Self::PERIOD;
    /// The periods that the kernel accepts: 1 ms to 1 s.
    pub const PERIODS: RangeInclusive<u64> = 1_000..=1_000_000;

    /// Returns quota and period as `cpu.max` of cgroup v2 has them.
    pub(crate) fn quota_and_period(self) -> String {
        format!("{} {}", self.quota, self.period)
    }

    /// Returns the number of CPUs that the quota keeps busy all the time. Without a
    /// limit it is infinity.
    pub fn count(self) -> f64 {
        match self.quota {
            Max::At(quota) => quota as f64 / self.period as f64,
            Max::Unlimited => f64::INFINITY,
        }
    }
}

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = "a number of CPUs is at least 0.01: 0.5, 2";
        let is_plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
        let cpus = text.parse::<f64>().ok().filter(|_| is_plain).ok_or(rule)?;
        let quota = (cpus * Self::PERIOD as f64).round() as u64;
        let cpus = Cpus { quota: Max::At(quota), period: Self::PERIOD };
        Self::QUOTAS.contains(&quota).then_some(cpus).ok_or(rule.into())
    }
}

/// A share of CPU time on the scale of cgroup v1: 2 to 262144, 1024 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuShares(pub u64);

impl CpuShares {
    /// The shares that the kernel accepts.
    pub const RANGE: RangeInclusive<u64> = 2..=262_144;

    /// Converts the share to the scale of cgroup v2: 1 to 10000, 100 by default.
    ///
    /// The curve maps both ends of the range, and the default: 2 → 1, 1024 → 100,
    /// 262144 → 10000.
    /// The OCI runtimes use it since runc 1.3.2 and crun 1.23 ([crun
    /// #1721](https://github.com/containers/crun/issues/1721)). The straight line that
    /// they used before turned 1024 into 39.
    pub fn weight(self) -> u64 {
        let log = (self.0 as f64).log2();
        let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
        (10f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
    }
}

/// A share of block I/O on the scale of cgroup v1: 10 to 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlkioWeight(pub u64);

impl BlkioWeight {
    /// The weights that the kernel accepts.
    pub const RANGE: RangeInclusive<u64> = 10..=1000;

    /// Converts the share to the scale of `io.weight` of cgroup v2: 1 to 10000. The OCI
    /// runtimes use the same straight line ([crun(1), "IO
    /// controller"](https://github.com/containers/crun/blob/main/crun.1.md)).
    pub fn io_weight(self) -> u64 {
        1 + self.0.saturating_sub(10) * 9999 / 990
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_cpu_is_half_of_each_period() {
        let quota = |text: &str| text.parse::<Cpus>().map(Cpus::quota_and_period);
        assert_eq!(quota("0.5").as_deref(), Ok("50000 100000"));
        assert_eq!(quota("0.01").as_deref(), Ok("1000 100000"));
        assert_eq!(quota("2").as_deref(), Ok("200000 100000"));
        for text in ["0", "0.001", "-1", "nan", "inf", "1e2", "", "."] {
            assert!(quota(text).is_err(), "{text}");
        }
    }

    #[test]
    fn on_v2_the_swap_limit_does_not_include_memory() {
        let swap = |total, memory| Swap::Asked(total).without(memory);
        assert_eq!(swap(Max::At(150), Max::At(128)), Max::At(22));
        assert_eq!(swap(Max::At(128), Max::At(128)), Max::At(0));
        assert_eq!(swap(Max::Unlimited, Max::At(128)), Max::Unlimited);
        // `Limits::check` refuses these limits. The kernel would accept them.
        assert_eq!(swap(Max::At(150), Max::Unlimited), Max::At(150));
    }

    #[test]
    fn cpu_shares_keep_both_ends_and_the_default_on_the_scale_of_v2() {
        let weight = |shares| CpuShares(shares).weight();
        assert_eq!([2, 512, 1024, 262_144].map(weight), [1, 59, 100, 10_000]);
        assert!(
            (2..262_144)
                .step_by(97)
                .all(|shares| weight(shares) <= weight(shares + 97))
        );
    }

    #[test]
    fn block_io_weights_keep_both_ends_on_the_scale_of_v2() {
        assert_eq!(
            [10, 500, 1000].map(|weight| BlkioWeight(weight).io_weight()),
            [1, 4950, 10_000]
        );
    }
}
