//! The option of this step.

use crate::Pid1;

/// The option of `run` that puts an init above the command.
#[derive(clap::Args, Clone, Copy, Debug)]
#[group(id = "pid_options")]
pub struct Args {
    /// Make PID 1 a minimal init
    ///
    /// It forwards signals to the command, which is its child, and reaps orphans.
    #[arg(long)]
    init: bool,
}

impl Args {
    /// The process that `--init` makes PID 1.
    pub fn pid_1(self) -> Pid1 {
        if self.init { Pid1::Init } else { Pid1::Command }
    }
}
