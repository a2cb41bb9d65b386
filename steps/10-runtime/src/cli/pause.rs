//! `pause` and `resume`: freeze all processes of a container, and let them run again.

use std::process::ExitCode;

use cgroups::Cgroup;
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
        cgroup(&container)?.freeze()?;
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
        cgroup(&container)?.thaw()?;
        run_dir.leave();
        Ok(ExitCode::SUCCESS)
    }
}

fn refused(verb: &str, status: Status) -> anyhow::Error {
    let what = format!("cannot {verb} a container that is {status}");
    Failure::new(what).with_kind(FailureKind::Conflict).into()
}

/// Returns the cgroup of a container.
///
/// # Errors
/// When it has none, as without root and without delegation.
pub(crate) fn cgroup(container: &Container) -> Result<Cgroup> {
    match container.cgroup()? {
        Some(cgroup) => Ok(cgroup),
        None => {
            let what = "the container has no cgroup of its own";
            let hint = "without root, have systemd or root delegate one: `systemd-run --user --scope -p Delegate=yes COMMAND`";
            Err(Failure::new(what).hint(hint).into())
        }
    }
}
