//! The rules for limits, wherever the limits come from. The kernel refuses a limit that
//! breaks one, or accepts it and limits nothing.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;

use kit::{Failure, FailureKind, Size};

use crate::limits::{Limit, Limits};
use crate::values::{BlkioWeight, CpuShares, Cpus, Max};

/// A rule that limits break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitError {
    /// The number is outside its range.
    OutOfRange(Limit, u64, RangeInclusive<u64>),
    /// The reservation is more than the memory limit.
    ReservationAboveMemory {
        /// The memory reservation.
        reservation: Size,
        /// The memory limit.
        memory: Size,
    },
    /// The memory beyond which the container is slowed down is more than the memory
    /// limit.
    HighAboveMemory {
        /// The memory beyond which the container is slowed down.
        high: Size,
        /// The memory limit.
        memory: Size,
    },
    /// Memory and swap together are limited, but memory alone is not.
    SwapWithoutMemory,
    /// The limit of memory and swap together is less than that of memory.
    SwapBelowMemory {
        /// The limit of memory and swap together.
        total: Size,
        /// The memory limit.
        memory: Size,
    },
}

impl From<LimitError> for Failure {
    fn from(error: LimitError) -> Self {
        Failure::new(error).with_kind(FailureKind::Usage)
    }
}

impl Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (memory_limit, swap_limit) = (Limit::Memory, Limit::Swap);
        match self {
            LimitError::OutOfRange(limit, number, range) => {
                let (least, most) = (range.start(), range.end());
                write!(f, "{limit} {number} is outside {least} to {most}")
            }
            LimitError::ReservationAboveMemory { reservation, memory } => {
                let limit = Limit::MemoryReservation;
                write!(f, "{limit} {reservation} is more than {memory_limit} {memory}")
            }
            LimitError::HighAboveMemory { high, memory } => {
                let limit = Limit::MemoryHigh;
                write!(f, "{limit} {high} is more than {memory_limit} {memory}")
            }
            LimitError::SwapWithoutMemory => {
                write!(f, "{swap_limit}: it needs a {memory_limit}")
            }
            LimitError::SwapBelowMemory { total, memory } => {
                write!(f, "{swap_limit} {total} is less than {memory_limit} {memory}")
            }
        }
    }
}

impl Limits {
    /// Checks the range of each limit, and the memory limits against each other.
    /// [`Cgroup::create`](crate::Cgroup::create) begins with it.
    ///
    /// # Errors
    /// The first rule that the limits break.
    pub fn check(&self) -> Result<(), LimitError> {
        let swap = self.swap.map(|swap| swap.total());
        for (limit, number, range) in [
            (Limit::Memory, number(self.memory), Max::BYTES),
            (Limit::Swap, number(swap), Max::BYTES),
            (Limit::MemoryReservation, number(self.memory_reservation), Max::BYTES),
            (Limit::MemoryHigh, number(self.memory_high), Max::BYTES),
            (Limit::CpuQuota, number(self.cpus.map(|cpus| cpus.quota)), Cpus::QUOTAS),
            (Limit::CpuPeriod, self.cpus.map(|cpus| cpus.period), Cpus::PERIODS),
            (
                Limit::CpuShares,
                self.cpu_shares.map(|shares| shares.0),
                CpuShares::RANGE,
            ),
            (Limit::Pids, number(self.pids), Max::PROCESSES),
            (Limit::BlkioWeight, self.blkio_weight.map(|it| it.0), BlkioWeight::RANGE),
        ] {
            if let Some(number) = number.filter(|number| !range.contains(number)) {
                return Err(LimitError::OutOfRange(limit, number, range));
            }
        }
        // The kernel takes no rate of 0.
        let rates = |limit| self.device_rates(limit).map_or(&[][..], |it| it.rates);
        let is_zero = |limit| rates(limit).iter().any(|it| it.rate == Max::At(0));
        if let Some(limit) = Limit::ALL.into_iter().find(|limit| is_zero(*limit)) {
            return Err(LimitError::OutOfRange(limit, 0, 1..=u64::MAX));
        }
        let memory = number(self.memory).map(Size);
        if let (Some(high), Some(memory)) = (number(self.memory_high).map(Size), memory)
            && high > memory
        {
            return Err(LimitError::HighAboveMemory { high, memory });
        }
        let reservation = number(self.memory_reservation).map(Size);
        if let (Some(reservation), Some(memory)) = (reservation, memory)
            && reservation > memory
        {
            return Err(LimitError::ReservationAboveMemory { reservation, memory });
        }
        match (number(swap).map(Size), memory) {
            (Some(_), None) => Err(LimitError::SwapWithoutMemory),
            (Some(total), Some(memory)) if total < memory => {
                Err(LimitError::SwapBelowMemory { total, memory })
            }
            _ => Ok(()),
        }
    }
}

fn number(max: Option<Max>) -> Option<u64> {
    match max? {
        Max::At(number) => Some(number),
        Max::Unlimited => None,
    }
}

#[cfg(test)]
mod tests {
    use kit::{Id, RunDir};

    use super::*;
    use crate::Cgroup;
    use crate::device::{Device, DeviceRate};
    use crate::placement::Placement;
    use crate::values::Swap;

    const MIB: u64 = 1 << 20;

    fn broken_rule(limits: Limits) -> String {
        limits.check().map_or_else(|error| error.to_string(), |()| "none".into())
    }

    fn memory(memory: Option<Max>, swap: Option<Swap>) -> Limits {
        Limits { memory, swap, ..Limits::default() }
    }

    fn rate(rate: u64) -> DeviceRate {
        DeviceRate { device: Device { major: 7, minor: 0 }, rate: Max::At(rate) }
    }

    /// Returns limits of which only `limit` is set, to `number`.
    fn only(limit: Limit, number: u64) -> Limits {
        let (max, mut limits) = (Some(Max::At(number)), Limits::default());
        match limit {
            Limit::Memory => limits.memory = max,
            Limit::MemoryReservation => limits.memory_reservation = max,
            Limit::MemoryHigh => limits.memory_high = max,
            Limit::CpuQuota => {
                let quota = Max::At(number);
                limits.cpus = Some(Cpus { quota, period: Cpus::PERIOD });
            }
            Limit::CpuPeriod => {
                limits.cpus = Some(Cpus { quota: Max::Unlimited, period: number });
            }
            Limit::DeviceReadBps => limits.device_read_bps = vec![rate(number)],
            Limit::DeviceWriteBps => limits.device_write_bps = vec![rate(number)],
            Limit::DeviceReadIops => limits.device_read_iops = vec![rate(number)],
            Limit::DeviceWriteIops => limits.device_write_iops = vec![rate(number)],
            Limit::CpuShares => limits.cpu_shares = Some(CpuShares(number)),
            Limit::Pids => limits.pids = max,
            Limit::BlkioWeight => limits.blkio_weight = Some(BlkioWeight(number)),
            Limit::Swap => limits.swap = Some(Swap::Asked(Max::At(number))),
            Limit::Cpuset => unreachable!("not a number"),
        }
        limits
    }

    #[test]
    fn a_number_is_within_its_range() {
        for (limit, least, most) in [
            (Limit::Memory, 4096, u64::MAX),
            (Limit::MemoryReservation, 4096, u64::MAX),
            (Limit::MemoryHigh, 4096, u64::MAX),
            (Limit::CpuQuota, 1000, 6_553_600_000),
            (Limit::CpuPeriod, 1000, 1_000_000),
            (Limit::DeviceReadBps, 1, u64::MAX),
            (Limit::DeviceWriteBps, 1, u64::MAX),
            (Limit::DeviceReadIops, 1, u64::MAX),
            (Limit::DeviceWriteIops, 1, u64::MAX),
            (Limit::CpuShares, 2, 262_144),
            (Limit::Pids, 1, 4_194_304),
            (Limit::BlkioWeight, 10, 1000),
        ] {
            assert_eq!(broken_rule(only(limit, least)), "none");
            assert_eq!(broken_rule(only(limit, most)), "none");
            for number in most.checked_add(1).into_iter().chain([0, least - 1]) {
                let rule = format!("{limit} {number} is outside {least} to {most}");
                assert_eq!(broken_rule(only(limit, number)), rule);
            }
        }
        assert!(
            broken_rule(only(Limit::Swap, 4095)).contains("4095 is outside 4096 to")
        );
    }

    #[test]
    fn a_limit_of_swap_needs_a_limit_of_memory() {
        let rule = "memory and swap limit: it needs a memory limit";
        for swap in [Swap::Asked(Max::At(MIB)), Swap::Implied(Max::At(MIB))] {
            assert_eq!(broken_rule(memory(None, Some(swap))), rule);
            assert_eq!(broken_rule(memory(Some(Max::Unlimited), Some(swap))), rule);
        }
        let unlimited = Some(Swap::Asked(Max::Unlimited));
        assert_eq!(broken_rule(memory(Some(Max::Unlimited), unlimited)), "none");
    }

    #[test]
    fn memory_and_swap_together_are_at_least_the_memory() {
        let total = |total| memory(Some(Max::At(64 * MIB)), Some(Swap::Asked(total)));
        assert_eq!(broken_rule(total(Max::At(64 * MIB))), "none");
        assert_eq!(broken_rule(total(Max::Unlimited)), "none");
        assert_eq!(
            broken_rule(total(Max::At(63 * MIB))),
            "memory and swap limit 63MiB is less than memory limit 64MiB"
        );
    }

    #[test]
    fn a_reservation_and_the_high_mark_are_at_most_the_memory() {
        let reserved = |bytes| Limits {
            memory_reservation: Some(Max::At(bytes)),
            ..memory(Some(Max::At(64 * MIB)), None)
        };
        assert_eq!(broken_rule(reserved(64 * MIB)), "none");
        assert_eq!(
            broken_rule(reserved(65 * MIB)),
            "memory reservation 65MiB is more than memory limit 64MiB"
        );
        let high = |bytes| Limits {
            memory_high: Some(Max::At(bytes)),
            ..memory(Some(Max::At(64 * MIB)), None)
        };
        assert_eq!(broken_rule(high(64 * MIB)), "none");
        assert_eq!(
            broken_rule(high(65 * MIB)),
            "memory high 65MiB is more than memory limit 64MiB"
        );
    }

    #[test]
    fn limits_that_break_a_rule_make_no_cgroup() {
        let run_dirs = tempfile::tempdir().unwrap();
        let id = Id::random().unwrap();
        let run_dir = RunDir::create(&run_dirs.path().join("run"), &id).unwrap();
        let parent = "kiste-test-rules".parse().unwrap();
        let placement = Placement { parent, id, session_bus: None };
        let limits = memory(None, Some(Swap::Asked(Max::At(64 * MIB))));
        let error = Cgroup::create(&placement, &limits, &run_dir).unwrap_err();
        assert_eq!(error.to_string(), LimitError::SwapWithoutMemory.to_string());
        assert_eq!(Failure::of(&error).kind(), FailureKind::Usage);
        assert!(!run_dir.path().join("cgroups").exists(), "nothing is noted");
    }
}
