//! The parts of the command line besides `run`: `gc`, and the report at the end.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use kit::doctor::Check;
use kit::{Failure, Hint, RunDir, RunDirArgs};

use crate::args::{Args, session_bus};
use crate::cgroup::Cgroup;
use crate::doctor::checks;
use crate::gc::{gc, gc_nearby};

/// Runs the checks of this step: `cgroup-v2`, `cgroup-v1`, `cgroup-memory`,
/// `cgroup-cpu`, `cgroup-pids`, `cgroup-cpuset`, `cgroup-swap`, `cgroup-blkio-weight`,
/// `cgroup-freeze`, `cgroup-kill`.
pub fn doctor() -> Vec<Check> {
    checks(session_bus().as_ref())
}

/// Runs `gc`: removes the containers that dead runtimes have left, and prints their
/// ids.
///
/// # Errors
/// When a container cannot be removed. The next `gc` tries again.
pub fn gc_command(args: &RunDirArgs) -> Result<ExitCode> {
    let collected = gc(&args.parent()).and_then(|collected| {
        let ids = collected.removed.iter().map(|id| format!("{id}\n"));
        let printed = kit::print(ids.collect::<String>());
        collected.outcome.and(printed)
    });
    collected
        .map(|()| ExitCode::SUCCESS)
        .map_err(|error| Failure::of(&error).with_exit_code(1).into())
}

/// Removes a few of the containers that dead runtimes have left, before a run. An error
/// is only a warning, since the new container can run all the same.
pub fn gc_before_run(run_dir: &RunDir) {
    if let Err(error) = gc_nearby(run_dir).and_then(|collected| collected.outcome) {
        kit::warn_error("an earlier container is not removed", &error);
    }
}

impl Args {
    /// Prints at the end of a container whether it ran out of memory, and with --stats
    /// the resources that it has used. `wall` is the time from start to end.
    pub fn report(&self, cgroup: &Cgroup, wall: Duration) {
        if let Some(oom) = cgroup.oom() {
            kit::notice(oom);
        }
        if self.stats {
            kit::notice(cgroup.stats().report(wall));
        }
    }
}

impl Cgroup {
    /// Removes the cgroup at the end of a container. If that fails, it prints a warning
    /// and keeps the run directory for `gc`. The exit code stays that of the command.
    ///
    /// Returns the run directory, unless it is kept. The container counts as alive
    /// until the caller drops it.
    pub fn remove_or_keep(self, run_dir: RunDir) -> Option<RunDir> {
        match self.remove().hint("remove what is left with `gc` later") {
            Ok(()) => Some(run_dir),
            Err(error) => {
                run_dir.leave_for_gc();
                kit::warn_error("the command has ended, but its cgroup stays", &error);
                None
            }
        }
    }
}
