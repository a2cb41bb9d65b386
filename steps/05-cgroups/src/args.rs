//! The options of this step, spelled as Docker spells them, and the rules between them.

use std::ops::RangeInclusive;

use anyhow::Result;
use kit::{Failure, Id};

use crate::cpuset::CpuList;
use crate::limits::Limits;
use crate::placement::{CgroupParent, Placement, SessionBus};
use crate::rules::LimitError;
use crate::size::Size;
use crate::values::{BlkioWeight, CpuShares, Cpus, Max, Swap};

/// The options that limit a container.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Limits (cgroups)")]
pub struct Args {
    /// Memory limit: beyond it the kernel kills a process (512m, 1.5g)
    ///
    /// -1 for no limit.
    #[arg(short, long, value_name = "SIZE", value_parser = memory, allow_negative_numbers = true)]
    memory: Option<Max>,
    /// Memory and swap together (-1 for no limit) [default: twice --memory]
    #[arg(long, value_name = "SIZE", value_parser = memory, allow_negative_numbers = true)]
    memory_swap: Option<Max>,
    /// Memory that is reclaimed last when the host runs short
    #[arg(long, value_name = "SIZE", value_parser = memory, allow_negative_numbers = true)]
    memory_reservation: Option<Max>,
    /// Limit of CPU time, in CPUs (0.5 is half of one)
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    cpus: Option<Cpus>,
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
    /// host has fewer CPUs than are asked for.
    pub fn limits(&self) -> Result<Limits> {
        let online = self
            .cpus
            .and_then(|_| kit::read_kernel_file("/sys/devices/system/cpu/online").ok());
        let online = online.and_then(|text| text.parse().ok());
        self.limits_on(online.as_ref()).map_err(|rule| rule.exit(2).into())
    }

    /// Returns where the cgroup of container `id` is made. The environment has the
    /// address of the session bus.
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
            memory: self.memory,
            swap: self.swap(),
            memory_reservation: self.memory_reservation,
            cpus: self.cpus,
            cpu_shares: self.cpu_shares,
            cpuset_cpus: self.cpuset_cpus.clone(),
            pids: self.pids_limit,
            blkio_weight: self.blkio_weight,
        };
        limits.check().map_err(name_options)?;
        Ok(limits)
    }

    /// Makes the limit of memory and swap together by Docker's rule: if it is not
    /// given, it is twice the memory.
    fn swap(&self) -> Option<Swap> {
        match (self.memory, self.memory_swap) {
            (_, Some(total)) => Some(Swap::Asked(total)),
            (Some(Max::At(memory)), None) => {
                Some(Swap::Implied(Max::At(memory.saturating_mul(2))))
            }
            (None | Some(Max::Unlimited), None) => None,
        }
    }
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

fn memory(text: &str) -> Result<Max, String> {
    match Max::parse(text, |text| text.parse().map(|Size(bytes)| bytes))? {
        Max::At(bytes) if !Max::BYTES.contains(&bytes) => {
            let rule = "at least a page of memory: 4k (-1 for no limit)";
            let has_unit = text.ends_with(|last: char| last.is_ascii_alphabetic());
            Err(match bytes {
                1.. if !has_unit => {
                    format!("{rule}; {text} is {bytes} bytes, did you mean {text}m?")
                }
                _ => rule.into(),
            })
        }
        max => Ok(max),
    }
}

fn pids(text: &str) -> Result<Max, String> {
    let rule = "a number of processes is at least 1 (-1 for no limit)";
    Max::parse(text, |text| number(text, Max::PROCESSES, rule))
}

fn shares(text: &str) -> Result<CpuShares, String> {
    number(text, CpuShares::RANGE, "CPU shares are 2 to 262144").map(CpuShares)
}

fn blkio_weight(text: &str) -> Result<BlkioWeight, String> {
    let rule = "a block I/O weight is 10 to 1000";
    number(text, BlkioWeight::RANGE, rule).map(BlkioWeight)
}

fn number(text: &str, range: RangeInclusive<u64>, rule: &str) -> Result<u64, String> {
    text.parse().ok().filter(|number| range.contains(number)).ok_or(rule.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, Command, FromArgMatches};

    fn limits(line: &str) -> Result<Limits, String> {
        let words = std::iter::once("05-cgroups").chain(line.split_whitespace());
        let matches = Args::augment_args(Command::new("05-cgroups"))
            .try_get_matches_from(words)
            .map_err(|refused| refused.to_string())?;
        let args =
            Args::from_arg_matches(&matches).map_err(|refused| refused.to_string())?;
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
    fn a_tiny_size_without_a_unit_gets_a_question_about_the_unit() {
        let refused = limits("-m 32").unwrap_err();
        assert!(refused.contains("32 is 32 bytes, did you mean 32m?"), "{refused}");
        for line in ["-m 0", "-m 32b", "-m 3k"] {
            let refused = limits(line).unwrap_err();
            assert!(!refused.contains("did you mean"), "{refused}");
        }
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
