//! Step 1: a container that has a name of its own.

mod lesson;

use std::process::ExitCode;

use clap::Parser;
use exec::{CommandArgs, Spawn};
use kit::{DoctorArgs, ExplainArgs, Id, doctor, program};

use crate::lesson::LESSON;

/// Step 1 of Kiste: a name of its own
///
/// The UTS namespace: the command has a host name of its own. All else is the host's.
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
    command: CommandArgs,
}

fn main() -> ExitCode {
    program::main(|| match LESSON.parse() {
        Cli::Run(args) => run(&args),
        Cli::Doctor(args) => doctor::run(args.format(), &doctor::basics()),
    })
}

// ANCHOR: run
// Task 1.2: born in a new UTS namespace, it names that before it becomes the command.
fn run(args: &Run) -> kit::Result<ExitCode> {
    args.explain.start();
    let names = args.uts.names(&Id::random()?);
    let command = args.command.with_hostname(&names.hostname);
    let pid_file = args.command.pid_file()?;

    let child = Spawn::new(uts::NAMESPACE).spawn(|parent| {
        uts::set_names(&names)?; // 01: its host name
        exec::become_command(&command, parent) // 00: becomes the command
    })?;

    let _pid_file = pid_file.write(&child)?;
    Ok(child.wait()?.into())
}
// ANCHOR_END: run
