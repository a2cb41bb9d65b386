//! `cargo workshop`: makes a learner's workspace, in which the tasks of the chapters are
//! still to be done, and says where one stands in it. `tests/tasks` has the data of the
//! tasks; the starter and the solutions are made from the one source that is there.

mod breakage;
mod bundle;
mod check;
mod files;
mod learner;
mod overview;
mod page;
mod report;
mod results;
mod selection;
mod starter;
mod unfinished;
mod watch;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use check::Check;
use selection::Selection;
use workspace::Workspace;

/// Work through the chapters of the book, task by task
#[derive(Parser)]
#[command(
    name = "cargo workshop",
    bin_name = "cargo workshop",
    after_help = "Without a command: the tasks, which of them are green, and what is next.",
    disable_help_subcommand = true
)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Make a workspace in which the tasks are to be done
    Start {
        /// The directory of the new workspace
        dir: PathBuf,

        /// The first chapter whose tasks are to be done; those before are complete
        #[arg(long, value_name = "CHAPTER", default_value = "0")]
        from: u32,
    },
    /// Run the tests of a task or chapter: 2.4 or 2 [default: the next task]
    Check {
        #[arg(value_name = "TASK|CHAPTER")]
        what: Option<Selection>,

        /// Check again whenever a file of the steps changes
        #[arg(long)]
        watch: bool,

        /// Check this program, which has the same command line, in any language
        #[arg(long, value_name = "PATH", requires = "what")]
        bin: Option<PathBuf>,
    },
    /// Print a task with its tools, and one more hint each time
    Hint {
        #[arg(value_name = "TASK")]
        what: Selection,
    },
    /// Fill in our answer; yours is saved
    Solve {
        #[arg(value_name = "TASK|CHAPTER")]
        what: Selection,
    },
    /// Show how our answer differs from yours
    Diff {
        #[arg(value_name = "TASK|CHAPTER")]
        what: Selection,
    },
    /// Begin anew; yours is saved
    Reset {
        #[arg(value_name = "TASK|CHAPTER")]
        what: Selection,
    },
    /// Take one feature out of a chapter's step, to see what it prevents
    Break {
        #[arg(value_name = "CHAPTER")]
        chapter: u32,
    },
    /// Put back what `break` took out
    Restore,
    /// Make an offline stick for a room: the workspace, its crates, the book, root file
    /// systems, and a script that sets up a laptop
    Bundle {
        /// The directory of the stick
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns false if a check has found something.
fn run(args: Args) -> Result<bool> {
    let workspace = Workspace::open()?;
    match args.command {
        None => overview::print(&workspace)?,
        Some(Command::Start { dir, from }) => starter::start(&workspace, &dir, from)?,
        Some(Command::Check { what, watch: true, bin }) => {
            watch::watch(&workspace, what.as_ref(), bin.as_deref())?;
        }
        Some(Command::Check { what, bin, .. }) => {
            let Some(what) = what.or(overview::next(&workspace)?) else {
                anstream::println!("all tasks are green");
                return Ok(true);
            };
            let checked = Check::new(&workspace, &what, bin.as_deref())?.run()?;
            let is_green = report::print(&workspace, &checked)?;
            results::note(workspace.root(), &checked)?;
            return Ok(is_green);
        }
        Some(Command::Hint { what }) => overview::hint(&workspace, &what)?,
        Some(Command::Solve { what }) => workspace.learner()?.solve(&what)?,
        Some(Command::Diff { what }) => workspace.learner()?.diff(&what)?,
        Some(Command::Break { chapter }) => {
            breakage::break_chapter(&workspace, chapter)?
        }
        Some(Command::Restore) => breakage::restore(&workspace)?,
        Some(Command::Bundle { dir }) => bundle::bundle(&workspace, &dir)?,
        Some(Command::Reset { what }) => workspace.learner()?.reset(&what)?,
    }
    Ok(true)
}
