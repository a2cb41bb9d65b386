//! `ps`: lists the processes of a container.

use std::io::ErrorKind;
use std::process::{Command, ExitCode};

use kit::{Context, Failure, Hint, Id, Result};

use crate::cli::Global;
use crate::cli::list::Format;
use crate::state::{Container, Status, not_running};

#[derive(clap::Args)]
pub(crate) struct Ps {
    /// Print for people (table) or for machines (json)
    #[arg(short, long, default_value = "table")]
    format: Format,
    /// The container
    id: Id,
    /// The options of the host's ps(1) [default: -ef]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
    options: Vec<String>,
}

impl Ps {
    pub fn run(&self, global: &Global) -> Result<ExitCode> {
        let container = Container::find(&global.root(), &self.id)?;
        if container.status()? == Status::Stopped {
            return Err(not_running());
        }
        let pids = pids(&container)?;
        match self.format {
            Format::Json => kit::print_json(&pids)?,
            Format::Table => kit::print(self.table(&pids)?)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Filters what ps(1) prints on the host: the columns are the caller's choice, and
    /// engines pass options of their users. runc does the same.
    fn table(&self, pids: &[i32]) -> Result<String> {
        let mut ps = Command::new("ps");
        match self.options.is_empty() {
            true => ps.arg("-ef"),
            false => ps.args(&self.options),
        };
        let hint = "install the package procps, or use --format json";
        let output = match ps.output() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Failure::new("ps(1) is not in $PATH").hint(hint).into());
            }
            output => output.context("execute ps(1)").hint(hint)?,
        };
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let what = format!("ps(1): {}: {}", output.status, text.trim());
            return Err(Failure::new(what).into());
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let (title, lines) = text.split_once('\n').unwrap_or_default();
        let column = title.split_whitespace().position(|it| it == "PID");
        let Some(column) = column else {
            return Err(Failure::new("ps(1): its output has no column PID").into());
        };
        let is_ours = |line: &&str| {
            let pid = line.split_whitespace().nth(column);
            pid.and_then(|it| it.parse().ok()).is_some_and(|it| pids.contains(&it))
        };
        let ours = lines.lines().filter(is_ours);
        Ok([title].into_iter().chain(ours).map(|line| format!("{line}\n")).collect())
    }
}

/// Returns the ids of all processes of the container, as the host sees them.
fn pids(container: &Container) -> Result<Vec<i32>> {
    let Some(cgroup) = container.cgroup()? else {
        return Ok(vec![container.state.process.pid]);
    };
    cgroup.processes()
}
