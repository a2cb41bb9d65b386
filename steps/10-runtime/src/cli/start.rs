//! `start`: lets the command of a created container run.

use std::os::fd::AsFd;
use std::process::ExitCode;

use kit::{ExplainArgs, Failure, FailureKind, Id, Result, interrupt};

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
        let started = exec_fifo::start(&container.directory, init.pidfd.as_fd())
            .and_then(|()| run_poststart_hooks(&container));
        if let Err(error) = started {
            // A hook or the exec has failed, or a signal has come.
            interrupt::patiently(|| {
                init.kill()?;
                destroy(&container, run_dir, &global.log())
            })?;
            return Err(error);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn run_poststart_hooks(container: &Container) -> Result<()> {
    let hooks = Hooks::of(container.config()?.hooks.as_ref())?;
    hooks.run(Point::Poststart, &container.state.for_hook(Status::Running))
}
