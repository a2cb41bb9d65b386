//! Faults: a container starts as it was asked to, or not at all, and leaves nothing,
//! whatever fails.

mod aim;
mod calls;
mod exhaustion;
mod facts;
mod long;
mod place;
mod races;
mod report;
mod seen;
mod tracer;
mod walk;
mod watchdog;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use aim::Aim;
use place::Place;
use report::Report;
use walk::{Extent, Walk, Way};

/// Makes what a runtime needs fail, and looks at what it does then.
#[derive(Parser)]
struct Args {
    /// What to do; all, if none is named
    parts: Vec<Part>,
    /// Only with this step's program: 05-cgroups
    #[arg(long)]
    step: Option<String>,
    /// A minute or two, for CI
    #[arg(long)]
    short: bool,
    /// How many containers, one after the other; with --short 100
    #[arg(long, default_value_t = 10_000)]
    sequence: usize,
    /// How many containers at once; with --short 20
    #[arg(long, default_value_t = 200)]
    crowd: usize,
    /// For how long a race goes on, in seconds; with --short 3
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// One run with a fault at one call, told in full: child:openat2:3:EMFILE,
    /// runtime:mkdir:1:KILL
    #[arg(long, value_name = "PROCESS:CALL:NTH:FAULT", requires = "step")]
    at: Option<Aim>,
    /// List the calls of a run
    #[arg(long, requires = "step")]
    list: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Each system call of a start fails in turn
    Syscalls,
    /// Who makes it is killed there
    Kill,
    /// Something has run out, or may not be touched
    Exhaustion,
    /// A directory is swapped for a link, all the time
    Races,
    /// Many containers
    Long,
}

const STEPS: [&str; 9] = [
    "00-exec",
    "01-uts",
    "02-pid",
    "03-mount",
    "04-pivot-root",
    "05-cgroups",
    "06-user",
    "07-image",
    "08-network",
];

fn main() -> ExitCode {
    let args = Args::parse();
    let mut report = Report::default();
    let steps = STEPS
        .into_iter()
        .filter(|name| args.step.as_ref().is_none_or(|asked| asked == name));
    for name in steps {
        let Some(place) = Place::of(name, &program(name)) else { continue };
        do_step(&args, &place, &mut report);
        let left = place.left_for_good(Duration::from_secs(5));
        if !left.is_empty() {
            report.violation(
                name,
                format_args!("left at the end: {left:?}"),
                "see above",
            );
            std::mem::forget(place); // it would panic, and the report matters more
        }
    }
    if report.print() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Beside this program.
fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe()
        .and_then(std::fs::canonicalize)
        .expect("know where this program is");
    let program = this.with_file_name(name);
    assert!(program.exists(), "{}: not built; use tests/faults/run", program.display());
    program
}

fn do_step(args: &Args, place: &Place, report: &mut Report) {
    let wants = |part| args.parts.is_empty() || args.parts.contains(&part);
    let extent = if args.short { Extent::Short } else { Extent::Whole };
    if args.list {
        return Walk::of(place).list();
    }
    if let Some(aim) = &args.at {
        return Walk::of(place).show(aim, report);
    }
    for (part, way) in [(Part::Syscalls, Way::Fail), (Part::Kill, Way::Kill)] {
        if wants(part) {
            Walk::of(place).walk(way, extent, report);
        }
    }
    if wants(Part::Exhaustion) {
        exhaustion::exhaust(place, report);
    }
    if wants(Part::Races) {
        let seconds = if args.short { 3 } else { args.seconds };
        races::race(place, Duration::from_secs(seconds), report);
    }
    if wants(Part::Long) {
        let (sequence, crowd) =
            if args.short { (100, 20) } else { (args.sequence, args.crowd) };
        long::long(place, sequence, crowd, report);
    }
}
