//! Step 2: a container whose processes are its own.

mod lesson;

use std::process::ExitCode;

use clap::Parser;
use exec::{CommandArgs, Spawn};
use kit::{DoctorArgs, ExplainArgs, Id, doctor, program};

use crate::lesson::LESSON;

/// Step 2 of Kiste: processes of its own
///
/// The PID and IPC namespaces: the command is PID 1, and every process that it can
/// reach is its own.
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
    command: CommandArgs,
}

fn main() -> ExitCode {
    program::main(|| {
        pid::run_sealed()?;
        match LESSON.parse() {
            Cli::Run(args) => run(&args),
            Cli::Doctor(args) => doctor::run(args.format(), &doctor::basics()),
        }
    })
}

// ANCHOR: run
// Task 2.1: the first process that is born in a new PID namespace is its PID 1.
fn run(args: &Run) -> kit::Result<ExitCode> {
    args.explain.start();
    let names = args.uts.names(&Id::random()?);
    let pid_1 = args.pid.pid_1();
    let command = args.command.with_hostname(&names.hostname);
    let pid_file = args.command.pid_file()?;

    let child = Spawn::new(uts::NAMESPACE | pid::NAMESPACES).spawn(|parent| {
        uts::set_names(&names)?; // 01: its host name
        pid::become_command(&command, pid_1, parent) // 02: becomes the command
    })?;

    let _pid_file = pid_file.write(&child)?;
    Ok(child.wait()?.into())
}
// ANCHOR_END: run
