//! What the command line needs beside `run`: `gc`, and what is told at the end.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use kit::{Failure, Hint, RunDir, RunDirArgs, program};

use crate::args::Args;
use crate::cgroup::Cgroup;
use crate::gc::{gc, gc_nearby};

/// `gc`: removes what dead runs have left, and prints their ids.
///
/// # Errors
/// What could not be removed; it is kept for the next time.
pub fn gc_command(args: &RunDirArgs) -> Result<ExitCode> {
    let collected = gc(&args.parent()).and_then(|collected| {
        collected.removed.iter().for_each(|id| println!("{id}"));
        collected.outcome
    });
    collected
        .map(|()| ExitCode::SUCCESS)
        .map_err(|error| Failure::of(&error).exit(1).into())
}

/// Before a run: the same with a few of them, and what cannot be removed is no reason
/// not to run.
pub fn gc_before_run(run_dir: &RunDir) {
    if let Err(error) = gc_nearby(run_dir).and_then(|collected| collected.outcome) {
        program::say(format_args!(
            "warning: what an earlier run has left stays: {error:#}"
        ));
    }
}

impl Args {
    /// At the end: whether memory ran out, and with `--stats` what was used.
    pub fn tell(&self, cgroup: &Cgroup, wall: Duration) {
        if let Some(oom) = cgroup.oom() {
            program::say(oom);
        }
        if self.stats {
            program::say(cgroup.stats().report(wall));
        }
    }
}

impl Cgroup {
    /// At the end: removes it. What cannot be removed is told, and left to `gc` with
    /// the run directory; the command has ended as it did, and that stays the result.
    /// Returns the run directory, unless it is kept for `gc`: until it is dropped, the
    /// container counts as alive.
    pub fn remove_or_keep(self, run_dir: RunDir) -> Option<RunDir> {
        let Err(error) = self.remove().hint("remove what is left with `gc` later")
        else {
            return Some(run_dir);
        };
        run_dir.keep();
        let failure = Failure::of(&error);
        program::say(format_args!(
            "warning: the command has ended, but its cgroup stays: {failure}"
        ));
        failure
            .hint_text()
            .into_iter()
            .for_each(|hint| program::say(format_args!("hint: {hint}")));
        None
    }
}
