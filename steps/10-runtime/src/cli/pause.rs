//! `pause` and `resume`: freeze all processes of a container, and let them run again.

use std::process::ExitCode;

use kit::{ExplainArgs, Failure, FailureKind, Id, Result};

use crate::cli::Global;
use crate::state::{Container, Status};

#[derive(clap::Args)]
pub(crate) struct Pause {
    #[command(flatten)]
    explain: ExplainArgs,
    /// The container
    id: Id,
}

#[derive(clap::Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    explain: ExplainArgs,
    /// The container
    id: Id,
}

impl Pause {
    pub fn run(&self, global: &Global) -> Result<ExitCode> {
        self.explain.start();
        let (container, run_dir) = Container::lock(&global.root(), &self.id)?;
        match container.status()? {
            Status::Created | Status::Running => {}
            status => return Err(refused("pause", status)),
        }
        container.require_cgroup()?.freeze()?;
        run_dir.leave();
        Ok(ExitCode::SUCCESS)
    }
}

impl Resume {
    pub fn run(&self, global: &Global) -> Result<ExitCode> {
        self.explain.start();
        let (container, run_dir) = Container::lock(&global.root(), &self.id)?;
        match container.status()? {
            Status::Paused => {}
            status => return Err(refused("resume", status)),
        }
        container.require_cgroup()?.thaw()?;
        run_dir.leave();
        Ok(ExitCode::SUCCESS)
    }
}

fn refused(verb: &str, status: Status) -> anyhow::Error {
    let what = format!("cannot {verb} a container that is {status}");
    Failure::new(what).with_kind(FailureKind::Conflict).into()
}
