//! The options of this step, spelled as Docker spells them, and the rules between them.

mod devices;
mod parse;

use anyhow::Result;
use kit::{Failure, Id};

use crate::cpuset::CpuList;
use crate::limits::Limits;
use crate::placement::{CgroupParent, Placement, SessionBus};
use crate::rules::LimitError;
use crate::values::{BlkioWeight, CpuShares, Cpus, Max, Swap};

use devices::DeviceArgs;
use parse::{blkio_weight, cpus, memory, period, pids, quota, shares};

/// The options that limit a container.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Limits (cgroups)")]
pub struct Args {
    /// Memory limit: beyond it the kernel kills a process (512m, 1.5g)
    ///
    /// -1 or 0 for no limit.
    #[arg(short, long, value_name = "SIZE", value_parser = memory, allow_negative_numbers = true)]
    memory: Option<Max>,
    /// Memory and swap together (-1 for no limit) [default: twice --memory]
    #[arg(long, value_name = "SIZE", value_parser = memory, allow_negative_numbers = true)]
    memory_swap: Option<Max>,
    /// Memory that is reclaimed last when the host runs short
    #[arg(long, value_name = "SIZE", value_parser = memory, allow_negative_numbers = true)]
    memory_reservation: Option<Max>,
    /// Memory beyond which it is slowed down, and its memory reclaimed (cgroup v2)
    #[arg(long, value_name = "SIZE", value_parser = memory, allow_negative_numbers = true)]
    memory_high: Option<Max>,
    /// Limit of CPU time, in CPUs (0.5 is half of one)
    #[arg(long, value_name = "NUMBER", value_parser = cpus, allow_negative_numbers = true, conflicts_with_all = ["cpu_quota", "cpu_period"])]
    cpus: Option<Cpus>,
    /// CPU time in each period, in microseconds (-1 for no limit)
    #[arg(long, value_name = "TIME", value_parser = quota, allow_negative_numbers = true)]
    cpu_quota: Option<Max>,
    /// Period of --cpu-quota, in microseconds (1000 to 1000000) [default: 100000]
    #[arg(long, value_name = "TIME", value_parser = period, allow_negative_numbers = true)]
    cpu_period: Option<u64>,
    /// Share of CPU time when there is not enough for all (2 to 262144; default 1024)
    #[arg(long, value_name = "SHARES", value_parser = shares, allow_negative_numbers = true)]
    cpu_shares: Option<CpuShares>,
    /// CPUs on which it may run (0-2,5)
    #[arg(long, value_name = "LIST", allow_negative_numbers = true)]
    cpuset_cpus: Option<CpuList>,
    /// Limit of processes and threads (-1 for no limit)
    #[arg(long, value_name = "NUMBER", value_parser = pids, allow_negative_numbers = true)]
    pids_limit: Option<Max>,
    /// Share of block I/O when there is not enough for all (10 to 1000)
    #[arg(long, value_name = "WEIGHT", value_parser = blkio_weight, allow_negative_numbers = true)]
    blkio_weight: Option<BlkioWeight>,
    #[command(flatten)]
    devices: DeviceArgs,
    /// Parent of the container's cgroup
    #[arg(long, value_name = "PATH", default_value = "kiste")]
    cgroup_parent: CgroupParent,
    /// Print the used resources at the end: time, CPU, memory, processes, I/O
    #[arg(long)]
    pub(crate) stats: bool,
}

impl Args {
    /// Makes limits from the options.
    ///
    /// # Errors
    /// A usage error (exit code 2) when two options contradict each other, or when the
    /// host has fewer CPUs than are asked for. An error when a device does not exist.
    pub fn limits(&self) -> Result<Limits> {
        let online = self
            .cpus
            .and_then(|_| kit::read_kernel_file("/sys/devices/system/cpu/online").ok());
        let online = online.and_then(|text| text.parse().ok());
        let mut limits =
            self.limits_on(online.as_ref()).map_err(|rule| rule.with_exit_code(2))?;
        self.devices.add_to(&mut limits)?;
        Ok(limits)
    }

    /// Returns where the cgroup of container `id` is made. The address of the session
    /// bus comes from the environment.
    pub fn placement(&self, id: &Id) -> Placement {
        Placement {
            parent: self.cgroup_parent.clone(),
            id: id.clone(),
            session_bus: session_bus(),
        }
    }

    fn limits_on(&self, online: Option<&CpuList>) -> Result<Limits, Failure> {
        if let (Some(cpus), Some(online)) = (self.cpus, online) {
            require_online(cpus, online)?;
        }
        if (self.memory, self.memory_swap) == (None, Some(Max::Unlimited)) {
            return Err(Failure::new(format!("{SWAP}: it needs --memory")));
        }
        let limits = Limits {
            memory: if_set(self.memory),
            swap: self.swap(),
            memory_reservation: if_set(self.memory_reservation),
            memory_high: if_set(self.memory_high),
            cpus: self.cpu_time(),
            cpu_shares: self.cpu_shares.filter(|shares| shares.0 != 0),
            cpuset_cpus: self.cpuset_cpus.clone(),
            pids: if_set(self.pids_limit),
            blkio_weight: self.blkio_weight.filter(|weight| weight.0 != 0),
            ..Limits::default()
        };
        limits.check().map_err(name_options)?;
        Ok(limits)
    }

    /// Makes the limit of memory and swap together. By Docker's rule the default is
    /// twice the memory limit.
    fn swap(&self) -> Option<Swap> {
        match (if_set(self.memory), if_set(self.memory_swap)) {
            (_, Some(total)) => Some(Swap::Asked(total)),
            (Some(Max::At(memory)), None) => {
                Some(Swap::Implied(Max::At(memory.saturating_mul(2))))
            }
            (None | Some(Max::Unlimited), None) => None,
        }
    }

    /// Makes the limit of CPU time from `--cpus`, or from the quota and the period.
    fn cpu_time(&self) -> Option<Cpus> {
        let (quota, period) = match self.cpus {
            Some(cpus) => (if_set(Some(cpus.quota)), None),
            None => (if_set(self.cpu_quota), self.cpu_period.filter(|it| *it != 0)),
        };
        (quota.is_some() || period.is_some()).then(|| Cpus {
            quota: quota.unwrap_or(Max::Unlimited),
            period: period.unwrap_or(Cpus::PERIOD),
        })
    }
}

/// Returns the limit, or `None` for 0, which means that the option is not set.
fn if_set(limit: Option<Max>) -> Option<Max> {
    limit.filter(|limit| *limit != Max::At(0))
}

/// Returns the session bus that the environment names.
pub(crate) fn session_bus() -> Option<SessionBus> {
    let bus = std::env::var_os("DBUS_SESSION_BUS_ADDRESS");
    bus.map(|it| SessionBus(it.to_string_lossy().into()))
}

const SWAP: &str = "--memory-swap is the total of memory and swap";

/// Makes the message for a broken rule, with the names of the options.
fn name_options(error: LimitError) -> Failure {
    match error {
        LimitError::SwapWithoutMemory => {
            Failure::new(format!("{SWAP}: it needs a limit by --memory"))
        }
        LimitError::SwapBelowMemory { total, memory } => {
            Failure::new(format!("{SWAP}: {total} is less than --memory {memory}"))
        }
        LimitError::ReservationAboveMemory { reservation, memory } => {
            Failure::new(format!(
                "--memory-reservation {reservation} is more than --memory {memory}"
            ))
            .hint("it is the part of --memory that is reclaimed last")
        }
        LimitError::HighAboveMemory { high, memory } => {
            Failure::new(format!("--memory-high {high} is more than --memory {memory}"))
                .hint("--memory is where the kernel kills: --memory-high comes before")
        }
        LimitError::OutOfRange(..) => error.into(),
    }
}

/// Refuses more CPUs than the host has, as Docker does: `--cpus 50` is most likely
/// meant as 50 %.
fn require_online(cpus: Cpus, online: &CpuList) -> Result<(), Failure> {
    if cpus.count() <= online.count() as f64 {
        return Ok(());
    }
    let what = format!(
        "--cpus {} is more than this host has: {}",
        cpus.count(),
        online.count()
    );
    Err(Failure::new(what).hint("it counts CPUs: 0.5 is half of one"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, Command, FromArgMatches};

    fn limits(line: &str) -> Result<Limits, String> {
        let words = std::iter::once("05-cgroups").chain(line.split_whitespace());
        let matches = Args::augment_args(Command::new("05-cgroups"))
            .try_get_matches_from(words)
            .map_err(|error| error.to_string())?;
        let args =
            Args::from_arg_matches(&matches).map_err(|error| error.to_string())?;
        args.limits_on(Some(&"0-1".parse()?)).map_err(|rule| rule.to_string())
    }

    #[test]
    fn limits_at_both_ends_of_their_ranges_are_accepted() {
        for line in [
            "-m 4k --memory-swap 4k --memory-reservation 4k --cpus 0.01 --cpu-shares 2 --cpuset-cpus 0",
            "--pids-limit 1 --blkio-weight 10",
            "--pids-limit 4194304 --blkio-weight 1000 --cpus 2 --cpu-shares 262144",
            "-m -1 --memory-swap -1 --pids-limit -1 --memory-reservation max",
        ] {
            assert!(limits(line).is_ok(), "{line}: {:?}", limits(line));
        }
    }

    #[test]
    fn the_error_for_a_size_below_a_page_without_a_unit_suggests_a_unit() {
        let error = limits("-m 32").unwrap_err();
        assert!(error.contains("32 is 32 bytes, did you mean 32m?"), "{error}");
        for line in ["-m 32b", "-m 3k"] {
            let error = limits(line).unwrap_err();
            assert!(!error.contains("did you mean"), "{error}");
        }
    }

    #[test]
    fn an_option_with_the_value_0_sets_no_limit() {
        let zeros = "-m 0 --memory-swap 0 --memory-reservation 0 --memory-high 0 --cpus 0 \
                     --cpu-shares 0 --pids-limit 0 --blkio-weight 0";
        assert_eq!(limits(zeros), Ok(Limits::default()));
        assert_eq!(limits("--cpu-quota 0 --cpu-period 0"), Ok(Limits::default()));
        assert_eq!(limits("-m 8m --memory-swap 0"), limits("-m 8m"));
    }

    #[test]
    fn cpu_time_is_a_number_of_cpus_or_a_quota_and_a_period() {
        let time = |line: &str| limits(line).map(|limits| limits.cpus.unwrap());
        let cpus = |quota, period| Ok(Cpus { quota, period });
        assert_eq!(time("--cpus 0.5"), cpus(Max::At(50_000), 100_000));
        assert_eq!(time("--cpu-quota 5000"), cpus(Max::At(5000), 100_000));
        assert_eq!(time("--cpu-period 5000"), cpus(Max::Unlimited, 5000));
        assert_eq!(
            time("--cpu-quota -1 --cpu-period 1000000"),
            cpus(Max::Unlimited, 1_000_000)
        );
        assert!(
            limits("--cpus 1 --cpu-period 5000").unwrap_err().contains("--cpu-period")
        );
    }

    #[test]
    fn memory_swap_is_checked_against_memory() {
        assert_eq!(
            limits("-m 32m").unwrap().swap,
            Some(Swap::Implied(Max::At(64 << 20)))
        );
        assert_eq!(
            limits("-m 32m --memory-swap -1").unwrap().swap,
            Some(Swap::Asked(Max::Unlimited))
        );
        assert!(limits("--memory-swap 32m").unwrap_err().contains("--memory"));
        assert!(
            limits("-m 32m --memory-swap 31m")
                .unwrap_err()
                .contains("less than --memory 32MiB")
        );
        assert!(
            limits("-m 32m --memory-reservation 33m")
                .unwrap_err()
                .contains("more than --memory 32MiB")
        );
    }
}
