//! What a container may use, as data: checked once, then written into the files of
//! either version.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::str::FromStr;

use crate::controller::Controller;
use crate::cpu_list::CpuList;
use crate::weights::{BlkioWeight, CpuShares};

/// The limits of a container. What is `None` is not written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory, in bytes.
    pub memory: Option<Max>,
    /// Memory and swap together, in bytes.
    pub swap: Option<Swap>,
    /// Memory that is reclaimed last, in bytes.
    pub memory_reservation: Option<Max>,
    /// CPU time.
    pub cpus: Option<Cpus>,
    /// The share of CPU time when there is not enough for all.
    pub cpu_shares: Option<CpuShares>,
    /// On which CPUs it runs.
    pub cpuset_cpus: Option<CpuList>,
    /// Processes and threads.
    pub pids: Option<Max>,
    /// The share of block I/O when there is not enough for all.
    pub blkio_weight: Option<BlkioWeight>,
}

impl Limits {
    /// The controllers that these limits need.
    pub fn controllers(&self) -> BTreeSet<Controller> {
        let memory = self.memory.is_some()
            || self.swap.is_some()
            || self.memory_reservation.is_some();
        [
            (Controller::Memory, memory),
            (Controller::Cpu, self.cpus.is_some() || self.cpu_shares.is_some()),
            (Controller::Cpuset, self.cpuset_cpus.is_some()),
            (Controller::Pids, self.pids.is_some()),
            (Controller::Io, self.blkio_weight.is_some()),
        ]
        .into_iter()
        .filter_map(|(controller, needed)| needed.then_some(controller))
        .collect()
    }
}

/// At most so many, or no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Max {
    /// No limit of its own.
    Unlimited,
    /// This much and no more.
    At(u64),
}

impl Max {
    /// `-1` and `max` mean none; anything else is for `number` to read.
    pub(crate) fn parse<E>(
        text: &str,
        number: impl FnOnce(&str) -> Result<u64, E>,
    ) -> Result<Self, E> {
        match text {
            "-1" | "max" => Ok(Max::Unlimited),
            text => number(text).map(Max::At),
        }
    }
}

impl Display for Max {
    /// As cgroup v2 spells it: `max`, or the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Max::Unlimited => f.write_str("max"),
            Max::At(number) => write!(f, "{number}"),
        }
    }
}

/// The limit of memory and swap together, in bytes, as Docker counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// `--memory-swap` asked for it: it is set, or the container does not start.
    Asked(Max),
    /// It follows from `--memory` alone: as much swap as memory, where the kernel
    /// counts swap.
    Implied(Max),
}

impl Swap {
    /// Memory and swap together.
    pub fn total(self) -> Max {
        let (Swap::Asked(total) | Swap::Implied(total)) = self;
        total
    }

    /// Swap alone, as cgroup v2 counts it.
    pub fn without(self, memory: Max) -> Max {
        match (self.total(), memory) {
            (Max::At(total), Max::At(memory)) => Max::At(total.saturating_sub(memory)),
            _ => Max::Unlimited,
        }
    }
}

/// CPU time, as microseconds in each [`Cpus::PERIOD`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus {
    /// Microseconds of CPU time in each period.
    pub quota: u64,
}

impl Cpus {
    /// 100 ms in microseconds, the kernel's default (`CFS bandwidth control`,
    /// sched-bwc.rst).
    pub const PERIOD: u64 = 100_000;

    /// The number of CPUs that this is the time of.
    pub fn count(self) -> f64 {
        self.quota as f64 / Self::PERIOD as f64
    }
}

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = "a number of CPUs is at least 0.01: 0.5, 2";
        // The kernel takes no quota below 1 ms: 0.01 of the period.
        let plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
        match text.parse::<f64>() {
            Ok(cpus) if plain && (0.01..=65536.0).contains(&cpus) => {
                Ok(Cpus { quota: (cpus * Self::PERIOD as f64).round() as u64 })
            }
            _ => Err(rule.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_cpu_is_half_of_each_period() {
        let quota = |text: &str| text.parse::<Cpus>().map(|cpus| cpus.quota);
        assert_eq!(quota("0.5"), Ok(50_000));
        assert_eq!(quota("0.01"), Ok(1_000));
        assert_eq!(quota("2"), Ok(200_000));
        for text in ["0", "0.001", "-1", "nan", "inf", "1e2", "", "."] {
            assert!(quota(text).is_err(), "{text}");
        }
    }

    #[test]
    fn v2_counts_swap_without_memory() {
        let swap = |total, memory| Swap::Asked(total).without(memory);
        assert_eq!(swap(Max::At(150), Max::At(128)), Max::At(22));
        assert_eq!(swap(Max::At(128), Max::At(128)), Max::At(0));
        assert_eq!(swap(Max::Unlimited, Max::At(128)), Max::Unlimited);
    }
}
