//! The frame of every step's `main`: help that teaches, errors with hints, exit codes.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use anyhow::Result;
use nix::sys::stat::{Mode, umask};

use crate::failure::{Failure, KISTE_FAILED};
use crate::output::print_failure;

/// The file mode creation mask of every command and of the runtime itself. A
/// container must not depend on its caller's mask: with 077, users other than uid 0
/// could not enter the directories that are made in the container. runc and Docker
/// start with the same mask.
const UMASK: Mode = Mode::S_IWGRP.union(Mode::S_IWOTH);

/// Runs the program and returns its exit code. An error or a panic is reported on
/// stderr.
pub fn main(work: impl FnOnce() -> Result<ExitCode>) -> ExitCode {
    umask(UMASK);
    panic::set_hook(Box::new(|panic| {
        let failure = Failure::of_panic(panic);
        let is_first = !PANICKED.replace(true);
        if is_first {
            print_failure(&failure);
        }
        // A second panic comes from a guard that runs while the first one unwinds.
        if cfg!(panic = "abort") || !is_first {
            std::process::exit(failure.exit_code().into());
        }
    }));
    // Unwinding drops the guards, so that nothing is left on the host.
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    outcome.map_or(ExitCode::from(KISTE_FAILED), finish)
}

thread_local! {
    /// True once this thread has panicked.
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

fn finish(outcome: Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        let failure = Failure::of(&error);
        print_failure(&failure);
        ExitCode::from(failure.exit_code())
    })
}
