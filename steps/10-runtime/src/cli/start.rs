//! `start`: lets the command of a created container run.

use std::os::fd::AsFd;
use std::process::ExitCode;

use kit::{ExplainArgs, Failure, FailureKind, Id, Result};

use crate::cli::Global;
use crate::cli::delete::destroy;
use crate::exec_fifo;
use crate::hooks::{Hooks, Point};
use crate::state::{Container, Status};

#[derive(clap::Args)]
pub(crate) struct Start {
    #[command(flatten)]
    explain: ExplainArgs,
    /// The container
    id: Id,
}

impl Start {
    pub fn run(&self, global: &Global) -> Result<ExitCode> {
        self.explain.start();
        let (container, run_dir) = Container::lock(&global.root(), &self.id)?;
        let refuse = |what: &str| {
            let failure = Failure::new(what).with_kind(FailureKind::Conflict);
            Err(failure.into())
        };
        match container.status()? {
            Status::Created => {}
            Status::Stopped => {
                return refuse("cannot start a container that has stopped");
            }
            Status::Creating => {
                return refuse("cannot start a container that is being created");
            }
            Status::Running | Status::Paused => {
                return refuse("cannot start an already running container");
            }
        }
        let Some(init) = container.init()? else {
            return refuse("cannot start a container that has stopped");
        };
        if let Err(error) = exec_fifo::start(&container.directory, init.pidfd.as_fd()) {
            // Its first process has failed before the exec: a hook, or the exec itself.
            init.kill()?;
            destroy(&container, run_dir, &global.log())?;
            return Err(error);
        }
        let hooks = Hooks::of(container.config()?.hooks.as_ref())?;
        let state = container.state.for_hook(Status::Running);
        if let Err(error) = hooks.run(Point::Poststart, &state) {
            init.kill()?;
            destroy(&container, run_dir, &global.log())?;
            return Err(error);
        }
        Ok(ExitCode::SUCCESS)
    }
}
