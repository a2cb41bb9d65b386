//! `kill`: sends a signal to a container.

use std::process::ExitCode;
use std::str::FromStr;

use kit::{ExplainArgs, Id, Result};
use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::cli::Global;
use crate::state::{Container, Status, not_running};

#[derive(clap::Args)]
pub(crate) struct Kill {
    #[command(flatten)]
    explain: ExplainArgs,
    /// With KILL: kill all processes of the cgroup, also after the first has ended
    #[arg(short, long)]
    all: bool,
    /// The container
    id: Id,
    /// The signal: TERM, SIGTERM or 15
    #[arg(default_value = "TERM", value_parser = parse_signal, allow_hyphen_values = true)]
    signal: i32,
}

impl Kill {
    pub fn run(&self, global: &Global) -> Result<ExitCode> {
        self.explain.start();
        let container = Container::find(&global.root(), &self.id)?;
        let is_stopped = container.status()? == Status::Stopped;
        if is_stopped && !self.all {
            return Err(not_running());
        }
        let is_kill = self.signal == Signal::SIGKILL as i32;
        if self.all && is_kill {
            container.cgroup()?.map_or(Ok(()), |cgroup| cgroup.kill())?;
            return Ok(ExitCode::SUCCESS);
        }
        let Some(init) = container.init()? else { return Err(not_running()) };
        match init.signal(self.signal) {
            Err(error) if kit::errno(&error) == Some(Errno::ESRCH) => {
                return Err(not_running());
            }
            sent => sent?,
        }
        if is_kill && let Some(cgroup) = container.cgroup()? {
            cgroup.let_die()?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Parses a signal: its name with or without SIG, or its number.
fn parse_signal(text: &str) -> Result<i32, String> {
    if let Ok(number) = text.parse::<i32>() {
        return match (0..=libc::SIGRTMAX()).contains(&number) {
            true => Ok(number),
            false => Err(format!("no signal has the number {number}")),
        };
    }
    let name = text.to_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let real_time =
        |text: &str| text.parse::<i32>().ok().filter(|it| (0..=30).contains(it));
    if let Some(offset) = name.strip_prefix("RTMIN") {
        let offset = real_time(offset.strip_prefix('+').unwrap_or("0"));
        return offset
            .map(|it| libc::SIGRTMIN() + it)
            .ok_or(format!("no signal {text:?}"));
    }
    if let Some(offset) = name.strip_prefix("RTMAX") {
        let offset = real_time(offset.strip_prefix('-').unwrap_or("0"));
        return offset
            .map(|it| libc::SIGRTMAX() - it)
            .ok_or(format!("no signal {text:?}"));
    }
    match Signal::from_str(&format!("SIG{name}")) {
        Ok(signal) => Ok(signal as i32),
        Err(_) => Err(format!("no signal has the name {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_a_name_with_or_without_sig_or_a_number() {
        for text in ["TERM", "SIGTERM", "sigterm", "15"] {
            assert_eq!(parse_signal(text), Ok(15), "{text}");
        }
        assert_eq!(parse_signal("RTMIN+3"), Ok(libc::SIGRTMIN() + 3));
        assert_eq!(parse_signal("SIGRTMAX-1"), Ok(libc::SIGRTMAX() - 1));
        assert_eq!(parse_signal("0"), Ok(0));
        for bad in ["", "SIG", "NOSUCH", "65", "-1", "RTMIN+x", "9 "] {
            assert!(parse_signal(bad).is_err(), "{bad}");
        }
    }
}
