//! `checkpoint` and `restore`, which this runtime does not have.

use std::process::ExitCode;

use kit::{Failure, Result};

#[derive(clap::Args)]
pub(crate) struct Unsupported {
    /// The options of the command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _arguments: Vec<String>,
}

impl Unsupported {
    pub fn run(&self, verb: &str) -> Result<ExitCode> {
        let what = format!("{verb}: checkpoint and restore are not supported");
        Err(Failure::new(what)
            .hint("use a runtime with CRIU support, such as runc")
            .into())
    }
}
