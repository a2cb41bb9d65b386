//! Step 3: a container with its own mounts.

mod lesson;

use std::os::fd::AsFd;
use std::process::ExitCode;

use clap::Parser;
use exec::{CommandArgs, Spawn};
use kit::{DoctorArgs, ExplainArgs, Id, doctor, program};
use mount::{MissingTarget, mount_all};

use crate::lesson::LESSON;

/// Step 3 of Kiste: mounts of its own
///
/// The mount namespace: the host does not see the container's mounts, and its /proc
/// shows only its own processes.
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
    command: CommandArgs,
}

fn main() -> ExitCode {
    program::main(|| {
        mount::run_read_only()?;
        match LESSON.parse() {
            Cli::Run(args) => run(&args),
            Cli::Doctor(args) => doctor::run(args.format(), &doctor::basics()),
        }
    })
}

// ANCHOR: run
fn run(args: &Run) -> kit::Result<ExitCode> {
    args.explain.start();
    let names = args.uts.names(&Id::random()?);
    let pid_1 = args.pid.pid_1();
    let command = args.command.with_hostname(&names.hostname);
    let pid_file = args.command.pid_file()?;
    let mounts = args.mount.requests()?;

    let namespaces = uts::NAMESPACE | pid::NAMESPACES | mount::NAMESPACE;
    let child = Spawn::new(namespaces).spawn(|parent| {
        uts::set_names(&names)?; // 01: its host name
        mount::bind_propagating(&mounts)?; // 03: with :rslave
        args.mount.propagation.isolate()?; // 03: later mounts stay inside
        let root = mount::host_root()?;
        mount::proc(root.as_fd())?; // 03: shows its own processes
        mount_all(root.as_fd(), &mounts, MissingTarget::Fail)?; // 03: its mounts
        args.mount.propagation.share()?;
        pid::become_command(&command, pid_1, parent) // 02: becomes the command
    })?;

    let _pid_file = pid_file.write(&child)?;
    Ok(child.wait()?.into())
}
// ANCHOR_END: run
