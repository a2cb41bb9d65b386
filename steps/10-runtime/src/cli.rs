//! The command line, spelled as runc's: engines know it.

mod bus;
mod create;
mod delete;
mod doctor;
mod events;
mod exec;
mod features;
mod kill;
mod lesson;
mod list;
mod pause;
mod ps;
mod run;
mod spec;
mod start;
mod state;
mod unsupported;
mod update;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use kit::{Failure, Result, program};

use crate::cli::lesson::LESSON;
use crate::log::{Format, Log};
use crate::plan::CgroupManager;

/// An OCI runtime: makes containers of bundles, for engines and for people
#[derive(Parser)]
#[command(name = "10-runtime", version = VERSION, styles = kit::styles())]
#[command(disable_version_flag = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// The version as engines parse it, after the name of the program.
const VERSION: &str = concat!("version ", env!("CARGO_PKG_VERSION"), "\nspec: 1.3.0");

/// The options before the verb.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Global {
    /// Directory with the state of the containers
    ///
    /// [default: /run/kiste/runtime; without root $XDG_RUNTIME_DIR/kiste/runtime]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Also write errors and warnings to this file
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// The form of the lines in the log
    #[arg(long, value_name = "text|json", default_value = "text")]
    log_format: Format,
    /// Accepted as runc does; `--explain` of a verb says more
    #[arg(long, hide_short_help = true)]
    debug: bool,
    /// Have systemd make the cgroups
    #[arg(long)]
    systemd_cgroup: bool,
    /// Accepted as runc does: without root, rootless is the only way
    #[arg(long, value_name = "auto|true|false", hide_short_help = true)]
    rootless: Option<String>,
    /// Print the version of this program and of the specification
    #[arg(short, long, action = clap::ArgAction::Version)]
    version: Option<bool>,
}

impl Global {
    /// The directory in which each container has a directory.
    pub fn root(&self) -> PathBuf {
        self.root.clone().unwrap_or_else(|| kit::default_run_dir().join("runtime"))
    }

    /// The program that makes the cgroups.
    pub fn cgroup_manager(&self) -> CgroupManager {
        match self.systemd_cgroup {
            true => CgroupManager::Systemd(bus::systemd_bus()),
            false => CgroupManager::Kiste,
        }
    }

    /// The log.
    pub fn log(&self) -> Log {
        Log { file: self.log.clone(), format: self.log_format }
    }
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Make a container, whose command then waits for `start`
    Create(create::Create),
    /// Make a container, run its command, and delete it
    Run(run::Run),
    /// Let the command of a created container run
    Start(start::Start),
    /// Run a further command in a container
    Exec(exec::Exec),
    /// Print the state of a container as JSON
    State(state::PrintState),
    /// Send a signal to a container
    Kill(kill::Kill),
    /// Remove a stopped container
    Delete(delete::Delete),
    /// List the containers
    List(list::List),
    /// List the processes of a container
    Ps(ps::Ps),
    /// Freeze all processes of a container
    Pause(pause::Pause),
    /// Let the processes of a paused container run again
    Resume(pause::Resume),
    /// Change the limits of a container
    Update(Box<update::Update>),
    /// Print the counters of a container, and tell when memory runs out
    Events(events::Events),
    /// Write an example of config.json
    Spec(spec::Spec),
    /// Print what this runtime can do, as JSON
    Features(features::Features),
    /// Check what this runtime needs from the kernel and the host
    Doctor(doctor::Doctor),
    /// Not supported
    #[command(hide = true)]
    Checkpoint(unsupported::Unsupported),
    /// Not supported
    #[command(hide = true)]
    Restore(unsupported::Unsupported),
}

/// The verbs that start a process which may come to execute this program's file.
const STARTING: [&str; 3] = ["create", "run", "exec"];

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    program::main(|| {
        if std::env::args_os().any(|it| STARTING.iter().any(|verb| it == *verb)) {
            mount::protect_program()?;
        }
        let Cli { global, verb } = LESSON.parse();
        let log = global.log();
        verb.run(&global).map_err(|error| {
            let failure = for_engines(Failure::of(&error), &verb);
            log.error(&failure);
            failure.into()
        })
    })
}

impl Verb {
    fn run(&self, global: &Global) -> Result<ExitCode> {
        match self {
            Verb::Create(verb) => verb.run(global),
            Verb::Run(verb) => verb.run(global),
            Verb::Start(verb) => verb.run(global),
            Verb::Exec(verb) => verb.run(global),
            Verb::State(verb) => verb.run(global),
            Verb::Kill(verb) => verb.run(global),
            Verb::Delete(verb) => verb.run(global),
            Verb::List(verb) => verb.run(global),
            Verb::Ps(verb) => verb.run(global),
            Verb::Pause(verb) => verb.run(global),
            Verb::Resume(verb) => verb.run(global),
            Verb::Update(verb) => verb.run(global),
            Verb::Events(verb) => verb.run(global),
            Verb::Spec(verb) => verb.run(),
            Verb::Features(verb) => verb.run(),
            Verb::Doctor(verb) => verb.run(global),
            Verb::Checkpoint(verb) => verb.run("checkpoint"),
            Verb::Restore(verb) => verb.run("restore"),
        }
    }
}

/// Gives a failure the exit code of its verb, and the words by which engines recognize
/// a missing command and one that is not executable.
fn for_engines(failure: Failure, verb: &Verb) -> Failure {
    let text = failure.to_string();
    let hint = failure.hint_text().map(String::from);
    let mut code = failure.exit_code();
    let failure = match words_of(code) {
        Some(words) if !text.contains(words) => {
            Failure::new(format_args!("{text}: {words}"))
        }
        _ => failure,
    };
    if !matches!(verb, Verb::Run(_) | Verb::Exec(_)) {
        code = 1;
    }
    let failure = failure.with_exit_code(code);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Returns the words in which Podman and Docker search for the reason of an exit code.
/// They are Go's, and case matters.
fn words_of(code: u8) -> Option<&'static str> {
    match code {
        126 => Some("permission denied"),
        127 => Some("executable file not found in $PATH"),
        _ => None,
    }
}

/// Returns the number of descriptors that the caller passes on: LISTEN_FDS, unless
/// LISTEN_PID says that they are for another process. See sd_listen_fds(3). Podman says
/// 1, as the container's first process will read it.
pub(crate) fn listen_fds() -> u32 {
    let for_us = match std::env::var_os("LISTEN_PID") {
        None => true,
        pid => [1, std::process::id()].contains(&number_of(pid)),
    };
    if for_us { number_of(std::env::var_os("LISTEN_FDS")) } else { 0 }
}

/// Parses the words of an environment variable as a number; 0 if it is not set.
fn number_of(variable: Option<OsString>) -> u32 {
    variable.and_then(|it| it.to_str()?.parse().ok()).unwrap_or(0)
}
