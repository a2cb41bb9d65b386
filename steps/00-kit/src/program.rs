//! The frame of every step's `main`: help that teaches, errors with hints, exit codes.

use std::cell::Cell;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use clap::builder::Styles;
use clap::error::ErrorKind;

use crate::failure::{Failure, KISTE_FAILED};
use crate::narration::{self, Plan};
use crate::output::print_hint;

/// The option that every step has: tell what the kernel is asked to do.
#[derive(clap::Args, Clone, Debug)]
pub struct ExplainArgs {
    /// Tell each kernel call, and why it is made
    ///
    /// Who makes it, on what, and its result, too. For people (text, the default) or for machines (json). With the number of a step,
    /// as in --explain=05 or --explain=json,05, only the calls that this step's code
    /// asks for.
    #[arg(long, value_name = "FORMAT,STEP", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    explain: Option<Plan>,
}

impl ExplainArgs {
    /// Starts the narration, if it was asked for. Whoever asks for a step that this
    /// program does not have is told which there are, as of every wrong usage.
    #[track_caller]
    pub fn start(&self) {
        let Some(plan) = self.explain else { return };
        if let Err(wrong) = narration::start(plan) {
            let wrong = format!(
                "invalid value for '--explain': {wrong}\n\n\
                 For more information, try '--help'.\n"
            );
            clap::Error::raw(ErrorKind::InvalidValue, wrong).exit();
        }
    }
}

/// The colours of `--help`.
pub fn styles() -> Styles {
    Styles::styled()
        .header(Style::new().bold())
        .usage(Style::new().bold())
        .literal(Style::new().fg_color(Some(AnsiColor::Cyan.into())))
        .placeholder(Style::new().dimmed())
}

/// Runs the program, and ends it: with the code it came to, or with the error told on
/// stderr. A panic is an error, too.
pub fn main(work: impl FnOnce() -> Result<ExitCode>) -> ExitCode {
    panic::set_hook(Box::new(|panic| {
        let failure = Failure::of_panic(panic);
        let is_first = !TOLD.replace(true);
        if is_first {
            report(&failure);
        }
        // A guard may need the very function that is not written.
        if cfg!(panic = "abort") || !is_first {
            std::process::exit(failure.exit_code().into());
        }
    }));
    // Unwinding drops the guards, so that nothing stays on the host.
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    outcome.map_or(ExitCode::from(KISTE_FAILED), finish)
}

thread_local! {
    /// Whether this thread panics already.
    static TOLD: Cell<bool> = const { Cell::new(false) };
}

fn finish(outcome: Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        let failure = Failure::of(&error);
        report(&failure);
        ExitCode::from(failure.exit_code())
    })
}

/// Tells a failure on stderr: one line, and a second with the mend where it is known.
fn report(failure: &Failure) {
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(anstream::stderr(), "{red}error:{red:#} {failure}");
    print_hint(failure);
}

/// The former name of [`crate::notice`].
pub use crate::output::notice as say;
