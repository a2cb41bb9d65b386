//! Step 0: runs a command, waits for it, and exits with its status.

mod lesson;

use std::process::ExitCode;

use clap::Parser;
use exec::{CloneFlags, CommandArgs, Spawn};
use kit::{DoctorArgs, ExplainArgs, doctor, program};

use crate::lesson::LESSON;

/// Step 0 of Kiste: fork, exec, wait
///
/// No isolation yet: this is what every step stands on.
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
    command: CommandArgs,
}

fn main() -> ExitCode {
    program::main(|| match LESSON.parse() {
        Cli::Run(args) => run(&args),
        Cli::Doctor(args) => doctor::run(args.format(), &[doctor::kernel()]),
    })
}

fn run(args: &Run) -> kit::Result<ExitCode> {
    args.explain.start();
    let command = args.command.with_hostname(&kit::host_name());
    let pid_file = args.command.pid_file()?;

    let child = Spawn::new(CloneFlags::empty())
        // 00: becomes the command
        .spawn(|parent| exec::become_command(&command, parent))?;

    let _pid_file = pid_file.write(&child)?;
    Ok(child.wait()?.into())
}
