//! `create`: makes a container, whose command then waits for `start`.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use exec::OnParentDeath;
use kit::{Durability, ExplainArgs, Failure, FailureKind, Hint, Id, Result, RunDir};
use network::MovedDevice;
use nix::errno::Errno;
use pivot_root::Terminal;
use user::Keyring;

use crate::bundle::{Bundle, CONFIG};
use crate::cli::delete::destroy_after_error;
use crate::cli::{Global, listen_fds};
use crate::create_options::CreateOptions;
use crate::exec_fifo::ExecFifo;
use crate::outside::{self, Started};
use crate::plan::{Plan, files::RootSwitch, plan};
use crate::process_handles::ProcessHandles;
use crate::state::Container;
use crate::sys;

#[derive(clap::Args)]
pub(crate) struct Create {
    #[command(flatten)]
    explain: ExplainArgs,
    #[command(flatten)]
    args: CreateArgs,
}

/// The options of `create` and `run`.
#[derive(clap::Args)]
pub(crate) struct CreateArgs {
    /// The directory with config.json
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// Send the master of the container's terminal to this Unix socket
    #[arg(long, value_name = "PATH")]
    pub console_socket: Option<PathBuf>,
    /// Send the pidfd of the first process to this Unix socket
    #[arg(long, value_name = "PATH")]
    pidfd_socket: Option<PathBuf>,
    /// Write the id of the first process to this file
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Enter the root file system without pivot_root(2): for an initramfs
    #[arg(long)]
    no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    no_new_keyring: bool,
    /// Pass on this many descriptors, after those of LISTEN_FDS
    #[arg(long, value_name = "N", default_value = "0")]
    pub preserve_fds: u32,
    /// The name of the container: letters, digits and `_+-.`
    pub id: Id,
}

impl Create {
    pub fn run(&self, global: &Global) -> Result<ExitCode> {
        self.explain.start();
        let args = &self.args;
        let inherited = inherited(args.preserve_fds)?;
        let (bundle, plan) = args.plan(global)?;
        let on_parent_death = OnParentDeath::KeepRunning;
        args.check_console(&plan, on_parent_death)?;
        let run_dir = args.make_directory(global, &bundle)?;
        let fifo = ExecFifo::create(run_dir.path())?;
        let options = CreateOptions {
            gate: Some(&fifo),
            on_parent_death,
            inherited,
            handles: args.handles(),
        };
        let started = outside::start(&plan, &run_dir, &options, &global.log())?;
        let Started { child, state, net_devices } = started;
        match child.detach() {
            Ok(_) => {
                net_devices.into_iter().for_each(MovedDevice::keep);
                run_dir.leave();
            }
            Err(error) => {
                let container = Container::of(state, &run_dir);
                destroy_after_error(&container, run_dir, &global.log());
                return Err(error);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl CreateArgs {
    /// Makes the plan.
    pub fn plan(&self, global: &Global) -> Result<(Bundle, Plan)> {
        let log = &global.log();
        let bundle = Bundle::open(&self.bundle, log)?;
        let keyring = match self.no_new_keyring {
            true => Keyring::Keep,
            false => Keyring::New,
        };
        let mut plan = plan(&bundle, &self.id, keyring, global.cgroup_manager())?;
        if self.no_pivot {
            plan.files.root_switch = RootSwitch::Chroot;
        }
        plan.process.warn_of_lost_capabilities(&plan.namespaces, log)?;
        let listen = listen_fds();
        if listen > 0 {
            let env = [format!("LISTEN_FDS={listen}"), "LISTEN_PID=1".into()];
            plan.process.command.env.extend(env.map(Into::into));
        }
        Ok((bundle, plan))
    }

    /// Checks that somebody gets the other end of the container's terminal.
    pub fn check_console(
        &self,
        plan: &Plan,
        on_parent_death: OnParentDeath,
    ) -> Result<()> {
        let socket = self.console_socket.as_deref();
        check_console(socket, plan.process.terminal, on_parent_death)
    }

    /// Makes and locks the container's directory, with a copy of config.json.
    pub fn make_directory(&self, global: &Global, bundle: &Bundle) -> Result<RunDir> {
        let made = RunDir::create(&global.root(), &self.id);
        let run_dir = made.map_err(|error| match kit::errno(&error) {
            Some(Errno::EEXIST) => {
                let what = format!("container with id {} already exists", self.id);
                let failure = Failure::new(what).with_kind(FailureKind::Conflict);
                failure.hint("choose another id, or `delete` that one").into()
            }
            _ => error,
        })?;
        let path = run_dir.path().join(CONFIG);
        kit::call(
            "for later commands: the bundle may change",
            "write",
            path.display(),
            || kit::write_atomically(&path, &bundle.text, 0o600, Durability::Kill),
        )
        .hint_on(Errno::ENOSPC, "the state of containers is in memory, as /run is")?;
        Ok(run_dir)
    }

    /// Returns the handles of the first process that the caller asks for.
    pub fn handles(&self) -> ProcessHandles {
        ProcessHandles {
            console_socket: self.console_socket.clone(),
            pidfd_socket: self.pidfd_socket.clone(),
            pid_file: self.pid_file.clone(),
        }
    }
}

/// Returns the descriptors that the process inherits: those of LISTEN_FDS
/// (sd_listen_fds(3)), then those of `--preserve-fds`. All others of the caller are
/// closed by the next exec, that of a hook for example.
pub(crate) fn inherited(preserved: u32) -> Result<Vec<BorrowedFd<'static>>> {
    // A process has far fewer descriptors, so one that is not open ends the search.
    let count = listen_fds().saturating_add(preserved).min(i32::MAX as u32 - 3);
    let descriptor = |number: u32| {
        sys::passed_descriptor(number as i32).ok_or_else(|| {
            let what = format!("--preserve-fds: descriptor {number} is not open");
            Failure::new(what).with_kind(FailureKind::Usage).into()
        })
    };
    let inherited = (3..3 + count).map(descriptor).collect();
    sys::close_on_exec_from(3)?;
    inherited
}

/// Checks that somebody gets the other end of a terminal: the runtime itself serves it
/// only as long as the process.
pub(crate) fn check_console(
    socket: Option<&Path>,
    terminal: Terminal,
    on_parent_death: OnParentDeath,
) -> Result<()> {
    let what = match (socket, terminal.exists(), on_parent_death) {
        (None, true, OnParentDeath::KeepRunning) => {
            "cannot allocate a terminal without --console-socket: this command ends before \
             the process does"
        }
        (Some(_), false, _) => {
            "--console-socket cannot be used: the process asks for no terminal"
        }
        _ => return Ok(()),
    };
    let failure = Failure::new(what).with_kind(FailureKind::Usage);
    Err(failure.hint("name --console-socket for a process with a terminal, and only for such a process").into())
}
