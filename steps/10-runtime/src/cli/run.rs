//! `run`: makes a container, runs its command, and deletes it.

use std::process::ExitCode;

use exec::{Child, OnParentDeath};
use kit::{ExplainArgs, Result};
use network::MovedDevice;

use crate::cli::Global;
use crate::cli::create::{CreateArgs, inherited};
use crate::cli::delete::{destroy, destroy_after_error};
use crate::create_options::CreateOptions;
use crate::hooks::Point;
use crate::outside::{self, Started};
use crate::plan::Plan;
use crate::state::{Container, State, Status};

#[derive(clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    explain: ExplainArgs,
    #[command(flatten)]
    args: CreateArgs,
    /// Return as soon as the command runs
    #[arg(short, long)]
    detach: bool,
    /// Do not take over orphans of the container: accepted as runc does, and always so
    #[arg(long)]
    no_subreaper: bool,
    /// Keep the stopped container for `delete`
    #[arg(long)]
    keep: bool,
}

impl Run {
    pub fn run(&self, global: &Global) -> Result<ExitCode> {
        self.explain.start();
        let args = &self.args;
        let on_parent_death = match self.detach {
            true => OnParentDeath::KeepRunning,
            false => OnParentDeath::Kill,
        };
        let inherited = inherited(args.preserve_fds)?;
        let (bundle, plan) = args.plan(global)?;
        args.check_console(&plan, on_parent_death)?;
        let run_dir = args.make_directory(global, &bundle)?;
        let handles = args.handles();
        let options = CreateOptions { gate: None, on_parent_death, inherited, handles };
        let started = outside::start(&plan, &run_dir, &options, &global.log())?;
        let Started { child, state, net_devices } = started;
        let ended = self.follow(&plan, &state, net_devices, child);
        match ended {
            Ok(_) if self.detach || self.keep => run_dir.leave(),
            Ok(_) => destroy(&Container::of(state, &run_dir), run_dir, &global.log())?,
            Err(_) => {
                let container = Container::of(state, &run_dir);
                destroy_after_error(&container, run_dir, &global.log());
            }
        }
        ended
    }

    /// Follows the container to its end, or only until its command runs. After an error
    /// it is killed, and then its devices are moved back: the last parameter is dropped
    /// first.
    fn follow(
        &self,
        plan: &Plan,
        state: &State,
        net_devices: Vec<MovedDevice>,
        mut child: Child,
    ) -> Result<ExitCode> {
        plan.hooks.run(Point::Poststart, &state.for_hook(Status::Running))?;
        if self.detach {
            child.detach()?;
            net_devices.into_iter().for_each(MovedDevice::keep);
            return Ok(ExitCode::SUCCESS);
        }
        let mut relay = plan.process.terminal.relay(child.descriptor())?;
        net_devices.into_iter().for_each(MovedDevice::keep);
        Ok(child.wait_at(&mut relay)?.into())
    }
}
