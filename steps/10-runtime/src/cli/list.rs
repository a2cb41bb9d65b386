//! `list`: lists the containers.

use std::process::ExitCode;

use kit::{Failure, Result};

use crate::cli::Global;
use crate::state::{Container, Status, ids, is_not_found};

#[derive(clap::Args)]
pub(crate) struct List {
    /// Print for people (table) or for machines (json)
    #[arg(short, long, default_value = "table")]
    format: Format,
    /// Print the ids only
    #[arg(short, long)]
    quiet: bool,
}

/// The form of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

impl List {
    pub fn run(&self, global: &Global) -> Result<ExitCode> {
        let root = global.root();
        let mut containers = Vec::new();
        for id in ids(&root)? {
            let found = Container::find(&root, &id)
                .and_then(|container| Ok((container.status()?, container)));
            match found {
                Ok((status, container)) => containers.push((container, status)),
                // It is being made or removed right now.
                Err(error) if is_not_found(&error) => {}
                Err(error) => global.log().warn(&Failure::of(&error).to_string()),
            }
        }
        if self.quiet {
            let ids = containers.iter().map(|(it, _)| format!("{}\n", it.state.id));
            kit::print(ids.collect::<String>())?;
        } else if self.format == Format::Json {
            let states = containers.iter().map(|(it, status)| it.state.to_oci(*status));
            kit::print_json(&states.collect::<Vec<_>>())?;
        } else {
            kit::print(table(&containers))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(containers: &[(Container, Status)]) -> String {
    let width = containers.iter().map(|(it, _)| it.state.id.len()).max().unwrap_or(0);
    let mut text = format!(
        "{:<width$}  {:<7}  {:<8}  {:<30}  {:<30}  OWNER\n",
        "ID",
        "PID",
        "STATUS",
        "BUNDLE",
        "CREATED",
        width = width.max(2),
    );
    for (container, status) in containers {
        let state = &container.state;
        let pid = if *status == Status::Stopped { 0 } else { state.process.pid };
        text += &format!(
            "{:<width$}  {:<7}  {:<8}  {:<30}  {:<30}  {}\n",
            state.id,
            pid,
            status,
            state.bundle.display(),
            state.created,
            state.owner_name(),
            width = width.max(2),
        );
    }
    text
}
