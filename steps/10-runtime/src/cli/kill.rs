//! `kill`: sends a signal to a container.

use std::process::ExitCode;
use std::str::FromStr;

use kit::{ExplainArgs, Id, Result, interrupt};
use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::cli::Global;
use crate::state::{Container, Status, not_running};

#[derive(clap::Args)]
pub(crate) struct Kill {
    #[command(flatten)]
    explain: ExplainArgs,
    /// Send it to all processes of the cgroup, also after the first has ended
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
        // A signal must not end us while we have frozen the container.
        interrupt::block()?;
        let container = Container::find(&global.root(), &self.id)?;
        let status = container.status()?;
        match self.all {
            true => self.signal_all(&container, status)?,
            false if status == Status::Stopped => return Err(not_running()),
            false => self.signal_first(&container)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Sends the signal to all processes of the cgroup. A stopped container may have some
    /// left, if it has no PID namespace of its own.
    fn signal_all(&self, container: &Container, status: Status) -> Result<()> {
        match container.cgroup()? {
            Some(cgroup) if self.is_kill() => cgroup.kill(),
            Some(cgroup) => cgroup.signal(self.signal),
            None if status == Status::Stopped => Ok(()),
            // The kernel kills the others of its PID namespace.
            None if self.is_kill() => self.signal_first(container),
            None => container.require_cgroup().map(drop),
        }
    }

    fn signal_first(&self, container: &Container) -> Result<()> {
        let Some(init) = container.init()? else { return Err(not_running()) };
        match init.signal(self.signal) {
            Err(error) if kit::errno(&error) == Some(Errno::ESRCH) => {
                return Err(not_running());
            }
            sent => sent?,
        }
        if self.is_kill()
            && let Some(cgroup) = container.cgroup()?
        {
            cgroup.let_die()?;
        }
        Ok(())
    }

    fn is_kill(&self) -> bool {
        self.signal == Signal::SIGKILL as i32
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
