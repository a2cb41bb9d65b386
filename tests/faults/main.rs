//! Fault injection: whatever fails, a container starts as requested or not at all, and
//! leaves nothing on the host.

mod bundle;
mod calls;
mod exhaustion;
mod facts;
mod injection;
mod long;
mod races;
mod registers;
mod report;
mod scenario;
mod trace;
mod tracer;
mod walk;
mod watchdog;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use injection::Injection;
use report::Report;
use scenario::Scenario;
use walk::{Extent, FaultKind, Injector};

/// Makes the things fail that a runtime needs, and checks how it reacts
#[derive(Parser)]
struct Args {
    /// The parts to run [default: all]
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
    /// How long a race goes on, in seconds; with --short 3
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Run once, with a fault at one call, and print everything:
    /// child:openat2:3:EMFILE, runtime:mkdir:1:KILL, child:mount:2:TERM
    #[arg(long, value_name = "PROCESS:CALL:NTH:FAULT", requires = "step")]
    at: Option<Injection>,
    /// List the calls of a run
    #[arg(long, requires = "step")]
    list: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Each system call of a start fails in turn
    Syscalls,
    /// The process is killed before each system call
    Kill,
    /// The runtime is sent SIGTERM before each system call
    Signals,
    /// A resource is exhausted, or access is denied
    Exhaustion,
    /// A directory is swapped for a link again and again
    Races,
    /// Many containers
    Long,
}

/// The steps. The second one of step 10 makes the container by `create`, `start` and
/// `delete`, the first one by `run`.
const STEPS: [&str; 12] = [
    "00-exec",
    "01-uts",
    "02-pid",
    "03-mount",
    "04-pivot-root",
    "05-cgroups",
    "06-user",
    "07-image",
    "08-network",
    "09-security",
    "10-runtime",
    "10-runtime-create",
];

fn main() -> ExitCode {
    let args = Args::parse();
    let mut report = Report::default();
    let steps = STEPS
        .into_iter()
        .filter(|name| args.step.as_ref().is_none_or(|asked| asked == name));
    for name in steps {
        let Some(scenario) = Scenario::of(name, &program(name)) else { continue };
        test_step(&args, &scenario, &mut report);
        let left = scenario.leftovers_after(Duration::from_secs(5));
        if !left.is_empty() {
            report.violation(
                name,
                format_args!("left on the host at the end: {left:?}"),
                "see above",
            );
            std::mem::forget(scenario); // its drop would panic, and the report matters more
        }
    }
    if report.print() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns the step's program, beside this one.
fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe()
        .and_then(std::fs::canonicalize)
        .expect("know where this program is");
    let program = this.with_file_name(name.trim_end_matches("-create"));
    assert!(program.exists(), "{}: not built; use tests/faults/run", program.display());
    program
}

fn test_step(args: &Args, scenario: &Scenario, report: &mut Report) {
    let is_selected = |part| args.parts.is_empty() || args.parts.contains(&part);
    let extent = if args.short { Extent::Short } else { Extent::Whole };
    if args.list {
        return Injector::of(scenario).list();
    }
    if let Some(injection) = &args.at {
        return Injector::of(scenario).show(injection, report);
    }
    for (part, kind) in [
        (Part::Syscalls, FaultKind::Fail),
        (Part::Kill, FaultKind::Kill),
        (Part::Signals, FaultKind::Signal),
    ] {
        // A signal to one of three commands would leave what the one before has made.
        if is_selected(part) && !(scenario.is_lifecycle() && part == Part::Signals) {
            Injector::of(scenario).inject_at_every_call(kind, extent, report);
        }
    }
    if scenario.number() >= 10 {
        return; // the other parts change the options of `run`
    }
    if is_selected(Part::Exhaustion) {
        exhaustion::exhaust(scenario, report);
    }
    if is_selected(Part::Races) {
        let seconds = if args.short { 3 } else { args.seconds };
        races::race(scenario, Duration::from_secs(seconds), report);
    }
    if is_selected(Part::Long) {
        let (sequence, crowd) =
            if args.short { (100, 20) } else { (args.sequence, args.crowd) };
        long::start_many(scenario, sequence, crowd, report);
    }
}
