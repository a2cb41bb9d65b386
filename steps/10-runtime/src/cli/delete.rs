//! `delete`: removes a stopped container.

use std::process::ExitCode;

use cgroups::Cgroup;
use kit::{ExplainArgs, Failure, FailureKind, Id, Result, RunDir};

use crate::cli::Global;
use crate::hooks::{Hooks, Point};
use crate::log::Log;
use crate::state::{Container, Status, is_not_found};

#[derive(clap::Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    explain: ExplainArgs,
    /// Kill it first if it runs; a container that does not exist is no error
    #[arg(short, long)]
    force: bool,
    /// The container
    id: Id,
}

impl Delete {
    pub fn run(&self, global: &Global) -> Result<ExitCode> {
        self.explain.start();
        if self.force {
            self.kill_before_lock(global)?;
        }
        match Container::lock(&global.root(), &self.id) {
            Ok((container, run_dir)) => self.delete(&container, run_dir, global)?,
            Err(error) if is_not_found(&error) => self.remove_rest(error, global)?,
            Err(error) if self.force => {
                global.log().warn(&format!(
                    "{}; its processes and its cgroup, if there are any, are left",
                    Failure::of(&error)
                ));
                self.remove_rest(error, global)?
            }
            Err(error) => return Err(error),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Kills it without the lock: that is held by a `create` or `start`, which may hang
    /// in a hook, or by `run`. Each of them ends once the first process is dead.
    fn kill_before_lock(&self, global: &Global) -> Result<()> {
        let Ok(container) = Container::find(&global.root(), &self.id) else {
            return Ok(());
        };
        if container.status()? == Status::Paused
            && let Some(cgroup) = container.cgroup()?
        {
            cgroup.let_die()?;
        }
        // The rest of its cgroup is killed under the lock: by then nobody removes it.
        container.init()?.map_or(Ok(()), |init| init.kill())
    }

    fn delete(
        &self,
        container: &Container,
        run_dir: RunDir,
        global: &Global,
    ) -> Result<()> {
        let status = container.status()?;
        match status {
            Status::Stopped => {}
            // As runc does, since engines rely on it. The specification has an error.
            Status::Created => kill(container)?,
            _ if self.force => kill(container)?,
            _ => {
                let what = format!(
                    "cannot delete container {} that is not stopped: {status}",
                    self.id
                );
                let failure = Failure::new(what).with_kind(FailureKind::Conflict);
                return Err(failure.hint("`delete --force` kills it first").into());
            }
        }
        destroy(container, run_dir, &global.log())
    }

    /// Removes the directory of a container whose `create` was killed before it had
    /// a state, or whose state cannot be read. Without a directory, the container does
    /// not exist.
    fn remove_rest(&self, error: anyhow::Error, global: &Global) -> Result<()> {
        match RunDir::open(&global.root(), &self.id)? {
            Some(run_dir) => run_dir.remove(),
            None if self.force => {}
            None => return Err(error),
        }
        Ok(())
    }
}

/// Kills a container that runs, and waits for its end.
fn kill(container: &Container) -> Result<()> {
    if let Some(cgroup) = container.cgroup()? {
        cgroup.kill()?;
    }
    container.init()?.map_or(Ok(()), |init| init.kill())
}

/// Removes a container that could not be started. The error of the start is the one to
/// report, so one of the removal is only a warning.
pub(crate) fn destroy_after_error(container: &Container, run_dir: RunDir, log: &Log) {
    if let Err(error) = destroy(container, run_dir, log) {
        log.warn(&format!(
            "the container is left for `delete`: {}",
            Failure::of(&error)
        ));
    }
}

/// Removes a container whose first process has ended: the processes that are left in
/// its cgroup, the cgroup, its files; and then runs its poststop hooks.
///
/// # Errors
/// When something cannot be removed. Its files then stay, for the next attempt.
pub(crate) fn destroy(container: &Container, run_dir: RunDir, log: &Log) -> Result<()> {
    let hooks = container.config().and_then(|config| Hooks::of(config.hooks.as_ref()));
    run_dir.keeper().keep(); // until the cgroup is gone
    Cgroup::remove_at(&container.state.cgroup)?;
    let state = container.state.for_hook(Status::Stopped);
    run_dir.remove();
    match hooks {
        Ok(hooks) => hooks.run_all(Point::Poststop, &state, log),
        Err(error) => log.warn(&format!("poststop: {}", Failure::of(&error))),
    }
    Ok(())
}
