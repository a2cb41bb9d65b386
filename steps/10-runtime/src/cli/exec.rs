//! `exec`: runs a further command in a container.

mod process;

use std::path::PathBuf;
use std::process::ExitCode;

use cgroups::SubCgroup;
use exec::OnParentDeath;
use kit::{ExplainArgs, Failure, FailureKind, Id, Result};

use crate::cli::Global;
use crate::cli::create::{check_console, inherited};
use crate::join::Joining;
use crate::process_handles::ProcessHandles;
use crate::state::{Container, Status};

#[derive(clap::Args)]
pub(crate) struct Exec {
    #[command(flatten)]
    explain: ExplainArgs,
    #[command(flatten)]
    options: process::Options,
    /// Send the master of the terminal to this Unix socket
    #[arg(long, value_name = "PATH")]
    console_socket: Option<PathBuf>,
    /// Send the pidfd of the process to this Unix socket
    #[arg(long, value_name = "PATH")]
    pidfd_socket: Option<PathBuf>,
    /// Write the id of the process to this file
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Return as soon as the command runs
    #[arg(short, long)]
    detach: bool,
    /// Pass on this many descriptors, after those of LISTEN_FDS
    #[arg(long, value_name = "N", default_value = "0")]
    preserve_fds: u32,
    /// Also in a paused container: the command runs once it is resumed
    #[arg(long)]
    ignore_paused: bool,
    /// The cgroup of the process, below that of the container
    #[arg(long, value_name = "[CONTROLLER,…:]PATH")]
    cgroup: Vec<SubCgroup>,
    /// The container
    id: Id,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Exec {
    pub fn run(&self, global: &Global) -> Result<ExitCode> {
        self.explain.start();
        let inherited = inherited(self.preserve_fds)?;
        let container = Container::find(&global.root(), &self.id)?;
        self.check_status(&container)?;
        let Some(init) = container.init()? else { return Err(not_running()) };
        let process =
            self.options.plan(&container.config()?, &self.command, &global.log())?;
        let on_parent_death = match self.detach {
            true => OnParentDeath::KeepRunning,
            false => OnParentDeath::Kill,
        };
        check_console(
            self.console_socket.as_deref(),
            process.terminal,
            on_parent_death,
        )?;
        let joining = Joining {
            container: &container,
            init: &init,
            cgroups: &self.cgroup,
            inherited,
            on_parent_death,
        };
        let mut child = joining.start(&process)?;
        let handles = ProcessHandles {
            console_socket: self.console_socket.clone(),
            pidfd_socket: self.pidfd_socket.clone(),
            pid_file: self.pid_file.clone(),
        };
        handles.send(&mut child)?;
        if self.detach {
            child.detach()?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut relay = process.terminal.relay(child.descriptor())?;
        Ok(child.wait_at(&mut relay)?.into())
    }

    fn check_status(&self, container: &Container) -> Result<()> {
        match container.status()? {
            Status::Created | Status::Running => Ok(()),
            Status::Paused if self.ignore_paused => Ok(()),
            Status::Paused => {
                let failure = Failure::new("cannot exec in a paused container");
                let failure = failure.with_kind(FailureKind::Conflict);
                Err(failure.hint("`resume` it first, or use --ignore-paused").into())
            }
            Status::Creating | Status::Stopped => Err(not_running()),
        }
    }
}

fn not_running() -> anyhow::Error {
    let failure = Failure::new(
        "cannot exec in a container that is not running: container not running",
    );
    failure.with_kind(FailureKind::Conflict).into()
}
