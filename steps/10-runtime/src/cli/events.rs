//! `events`: prints the counters of a container, and tells when memory runs out. One
//! JSON object a line, as runc prints them.

use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cgroups::{Cgroup, OomEvents};
use kit::{Context, Failure, FailureKind, Id, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use crate::cli::Global;
use crate::state::{Container, Init, Status};

#[derive(clap::Args)]
pub(crate) struct Events {
    /// Print the counters once, and end
    #[arg(long)]
    stats: bool,
    /// The time between counters: 500ms, 5s, 1m
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_interval)]
    interval: Duration,
    /// The container
    id: Id,
}

/// A line of the output
/// ([types/events.go](https://github.com/opencontainers/runc/blob/main/types/events.go)).
#[derive(Serialize)]
struct Event<'a> {
    r#type: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<cgroups::Counters>,
}

impl Events {
    pub fn run(&self, global: &Global) -> Result<ExitCode> {
        let container = Container::find(&global.root(), &self.id)?;
        let init = match container.status()? {
            Status::Stopped | Status::Creating => None,
            _ => container.init()?,
        };
        let Some(init) = init else {
            let what = format!("container {} is not running", self.id);
            return Err(Failure::new(what).with_kind(FailureKind::Conflict).into());
        };
        let cgroup = container.require_cgroup()?;
        match self.stats {
            true => self.print("stats", Some(&cgroup))?,
            false => self.watch(&init, &cgroup)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Prints events until the first process ends.
    fn watch(&self, init: &Init, cgroup: &Cgroup) -> Result<()> {
        let mut oom = cgroup.oom_events()?;
        loop {
            let next = Instant::now() + self.interval;
            loop {
                match wait(init, &oom, next)? {
                    Woken::Ended => {
                        self.print_oom(&mut oom)?;
                        return Ok(());
                    }
                    Woken::Oom => self.print_oom(&mut oom)?,
                    Woken::Time => break,
                }
            }
            self.print("stats", Some(cgroup))?;
        }
    }

    fn print_oom(&self, oom: &mut OomEvents) -> Result<()> {
        (0..oom.take()?).try_for_each(|_| self.print("oom", None))
    }

    fn print(&self, kind: &str, cgroup: Option<&Cgroup>) -> Result<()> {
        let (id, data) = (self.id.as_str(), cgroup.map(Cgroup::counters));
        let line = serde_json::to_string(&Event { r#type: kind, id, data })?;
        kit::print(format_args!("{line}\n"))
    }
}

/// The reason why a wait has ended.
enum Woken {
    /// The container has ended.
    Ended,
    /// Memory has run out, or other events of memory have been counted.
    Oom,
    /// The time has come.
    Time,
}

fn wait(init: &Init, oom: &OomEvents, until: Instant) -> Result<Woken> {
    let watched = |fd| PollFd::new(fd, PollFlags::POLLIN);
    let fds: [BorrowedFd<'_>; 2] = [init.pidfd.as_fd(), oom.as_fd()];
    loop {
        let mut polled = fds.map(watched);
        let left = until.saturating_duration_since(Instant::now());
        // Rounded up: a wait of 0 ms would be a busy loop in the last millisecond.
        let left = left.as_micros().div_ceil(1000);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut polled, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                return Err(error).context("poll(pidfd, the events of its memory)");
            }
        }
        let [ended, memory] = polled.map(|it| it.any() == Some(true));
        match (ended, memory) {
            (true, _) => return Ok(Woken::Ended),
            (false, true) => return Ok(Woken::Oom),
            _ if left == 0 => return Ok(Woken::Time),
            _ => {}
        }
    }
}

/// Parses a duration as Go writes it: a number with a unit, or several.
fn parse_interval(text: &str) -> Result<Duration, String> {
    let rule = "an interval is a number with ms, s, m or h: 500ms, 5s";
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| c.is_ascii_alphabetic()).ok_or(rule)?;
        let (value, unit) = rest.split_at(number);
        let end = unit.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(unit.len());
        let seconds = match &unit[..end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(rule.into()),
        };
        let is_plain = value.chars().all(|c| c.is_ascii_digit() || c == '.');
        let value = value.parse::<f64>().ok().filter(|_| is_plain).ok_or(rule)?;
        sum += value * seconds;
        rest = &unit[end..];
    }
    let interval = Duration::try_from_secs_f64(sum).map_err(|_| rule)?;
    match interval < Duration::from_millis(1) {
        true => Err("an interval is greater than 0".into()),
        false => Ok(interval),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_written_as_in_go() {
        let parsed = |text| parse_interval(text).map(|it| it.as_millis());
        assert_eq!(parsed("500ms"), Ok(500));
        assert_eq!(parsed("5s"), Ok(5000));
        assert_eq!(parsed("1m30s"), Ok(90_000));
        assert_eq!(parsed("0.5s"), Ok(500));
        for bad in ["", "5", "0s", "-1s", "s", "5x", "1e3s"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
