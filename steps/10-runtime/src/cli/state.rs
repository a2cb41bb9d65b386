//! `state`: prints the state of a container as JSON.

use std::process::ExitCode;

use kit::{Id, Result};

use crate::cli::Global;
use crate::state::Container;

#[derive(clap::Args)]
pub(crate) struct PrintState {
    /// The container
    id: Id,
}

impl PrintState {
    pub fn run(&self, global: &Global) -> Result<ExitCode> {
        let container = Container::find(&global.root(), &self.id)?;
        kit::print_json(&container.state.to_oci(container.status()?))?;
        Ok(ExitCode::SUCCESS)
    }
}
