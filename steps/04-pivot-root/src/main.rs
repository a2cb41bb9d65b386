//! Step 4: a container with its own root file system.

mod lesson;

use std::os::fd::AsFd;
use std::process::ExitCode;

use clap::Parser;
use exec::{CommandArgs, Job, Spawn};
use kit::{DoctorArgs, ExplainArgs, Id, doctor, program};
use mount::{MissingTarget, mount_all};
use pivot_root::{Root, TerminalArgs};

use crate::lesson::LESSON;

/// Step 4 of Kiste: a root of its own
///
/// pivot_root: the command has a root file system of its own, devices and a terminal.
#[derive(Parser)]
#[command(name = env!("CARGO_BIN_NAME"), version, styles = kit::styles())]
enum Cli {
    /// Run a command and exit with its status
    Run(Run),
    /// Check what this step needs from the kernel and the host
    Doctor(DoctorArgs),
}

#[derive(clap::Args)]
struct Run {
    #[command(flatten)]
    explain: ExplainArgs,
    #[command(flatten)]
    uts: uts::Args,
    #[command(flatten)]
    pid: pid::Args,
    #[command(flatten)]
    mount: mount::Args,
    #[command(flatten)]
    root: pivot_root::Args,
    #[command(flatten)]
    terminal: TerminalArgs,
    #[command(flatten)]
    command: CommandArgs,
}

fn main() -> ExitCode {
    program::main(|| {
        mount::run_read_only()?;
        match LESSON.parse() {
            Cli::Run(args) => run(&args),
            Cli::Doctor(args) => doctor::run(
                args.format(),
                &[doctor::basics(), pivot_root::checks()].concat(),
            ),
        }
    })
}

// ANCHOR: run
fn run(args: &Run) -> kit::Result<ExitCode> {
    args.explain.start();
    let names = args.uts.names(&Id::random()?);
    let pid_1 = args.pid.pid_1();
    let terminal = args.terminal.plan()?;
    let command = args
        .command
        .with_hostname(&names.hostname)
        .with_defaults(terminal.environment());
    let pid_file = args.command.pid_file()?;
    let mounts = args.mount.requests()?;
    let mounts = pivot_root::with_workdir(mounts, args.command.workdir());
    let (rootfs, shm) = (args.root.rootfs(), args.root.shm_size());

    let namespaces = uts::NAMESPACE | pid::NAMESPACES | mount::NAMESPACE;
    let mut child = Spawn::new(namespaces).job(Job::Session).spawn(|parent| {
        uts::set_names(&names)?; // 01: its host name
        mount::bind_propagating(&mounts)?; // 03: with :rslave
        args.mount.propagation.isolate()?; // 03: later mounts stay inside
        let root = Root::open(&rootfs, &mounts)?; // 04: its /
        pivot_root::mount_defaults(root.as_fd(), shm)?; // 04: /proc, /sys, /dev
        mount_all(root.as_fd(), &mounts, MissingTarget::Create)?; // 03: its mounts
        terminal.open(root.as_fd(), parent)?; // 04: its own terminal
        root.enter()?; // 04: the host's files are gone
        args.mount.propagation.share()?;
        pid::become_command(&command, pid_1, parent) // 02: becomes the command
    })?;

    let _pid_file = pid_file.write(&child)?;
    let mut relay = terminal.relay(child.descriptor())?;
    Ok(child.wait_at(&mut relay)?.into())
}
// ANCHOR_END: run
