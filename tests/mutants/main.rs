//! Generated mutants: every small change that a generator can make to a step's library,
//! tested by the step's tests.

mod accepted;
mod build_dir;
mod inside;
mod ledger;
mod machine;
mod mutant;
mod plan;
mod selection;
mod suite;
mod table;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, anyhow};
use clap::Parser;

use accepted::Accepted;
use build_dir::BuildDir;
use ledger::{Ledger, Verdict};
use machine::{MACHINES, Machine};
use mutant::Mutant;
use plan::Subject;
use selection::{STEPS, Stage, Step};
use suite::{Suite, Tests};
use table::Table;

/// Makes mutants of the steps' libraries, and checks which of them the tests catch
#[derive(Parser)]
#[command(name = "tests/mutants/generated")]
struct Args {
    /// Only mutants of this step: 05-cgroups
    #[arg(long, value_parser = STEPS.map(|step| step.name))]
    step: Vec<String>,
    /// Only this number of mutants of each step
    #[arg(long, value_name = "NUMBER")]
    sample: Option<usize>,
    /// Choose other mutants by another number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    tests: Tests,
    /// Only mutants with this in their name
    word: Option<String>,
    /// Test the mutants again that survived the last time
    #[arg(long)]
    again: bool,
    /// List the mutants without testing them
    #[arg(long)]
    list: bool,
    /// Run in the virtual machine, with this plan
    #[arg(long, value_name = "PLAN", hide = true)]
    inside: Option<PathBuf>,
    /// The subject of the plan [default: all]
    #[arg(long, requires = "inside", hide = true)]
    subject: Option<usize>,
}

/// The largest number of mutants in one boot. A larger batch needs fewer boots. After a
/// smaller one, the test that has caught a mutant is sooner tried first on the next
/// mutant of the same file.
const BATCH: usize = 5;

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    match (&args.inside, args.subject) {
        (Some(plan), None) => return inside::all(plan).map(|()| ExitCode::SUCCESS),
        (Some(plan), Some(nth)) => {
            return inside::one(plan, nth).map(|()| ExitCode::SUCCESS);
        }
        _ => {}
    }
    let build_dir = BuildDir::open()?;
    let accepted = Accepted::read()?;
    let mut table = Table::default();
    let is_selected = |step: &&Step| {
        args.step.is_empty() || args.step.iter().any(|name| name == step.name)
    };
    for step in STEPS.iter().filter(is_selected) {
        let listed = mutant::of(step)?;
        let chosen =
            selection::of(&listed, args.word.as_deref(), args.sample, args.seed);
        if args.list {
            chosen.iter().for_each(|mutant| println!("{mutant}"));
            continue;
        }
        let mut ledger = Ledger::open(build_dir.dir(), step)?;
        if args.again {
            ledger.forget(&[Verdict::Survived, Verdict::SurvivedHere]);
        }
        test_in_stages(step, &chosen, &args.tests, &build_dir, &accepted, &mut ledger)?;
        table.add(step, &listed, &chosen, &ledger, &accepted);
    }
    Ok(if args.list || table.print() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tests untested mutants by the step's own tests, and the survivors by those of the
/// steps above.
fn test_in_stages(
    step: &Step,
    chosen: &[&Mutant],
    tests: &Tests,
    build_dir: &BuildDir,
    accepted: &Accepted,
    ledger: &mut Ledger,
) -> Result<()> {
    let untested: Vec<_> =
        chosen.iter().filter(|mutant| ledger.of(mutant).is_none()).copied().collect();
    test_all(&step.own(), &untested, tests, build_dir, ledger)?;
    for above in step.above() {
        let needs_test = |mutant: &&&Mutant| {
            ledger
                .of(mutant)
                .is_some_and(|entry| entry.verdict == Verdict::SurvivedHere)
        };
        let survivors =
            chosen.iter().filter(needs_test).filter(|mutant| !accepted.has(mutant));
        let survivors: Vec<_> = survivors.copied().collect();
        test_all(&above, &survivors, tests, build_dir, ledger)?;
    }
    Ok(())
}

/// Tests mutants in batches. While one batch is tested in a machine, the next one is
/// built.
fn test_all(
    stage: &Stage,
    mutants: &[&Mutant],
    tests: &Tests,
    build_dir: &BuildDir,
    ledger: &mut Ledger,
) -> Result<()> {
    if mutants.is_empty() {
        return Ok(());
    }
    build_dir.refresh()?;
    let original =
        build_dir.build_tree(stage)?.context("the unchanged tree does not compile")?;
    let suite = Suite::built(stage, tests, original, build_dir)?;
    let (batches, ready) = sync_channel(1);
    let ledger = Mutex::new(ledger);
    thread::scope(|scope| {
        let builder =
            scope.spawn(move || build_batches(stage, mutants, build_dir, &batches));
        // The last tester drops the receiver, even if that tester fails. Then the
        // builder does not wait for ever.
        let ready = Arc::new(Mutex::new(ready));
        let (suite, ledger) = (&suite, &ledger);
        let tester = |number: usize| {
            let ready = Arc::clone(&ready);
            let machine = Machine::numbered(number, &build_dir.dir(), suite);
            scope.spawn(move || {
                while let Some(batch) = next_batch(&ready) {
                    test_batch(stage, batch, &machine, suite, ledger)?;
                }
                Ok(())
            })
        };
        let testers: Vec<_> = (0..MACHINES).map(tester).collect();
        drop(ready);
        let results = testers.into_iter().map(|tester| flatten(tester.join()));
        let results: Vec<Result<()>> =
            results.chain([flatten(builder.join())]).collect();
        results.into_iter().collect::<Result<()>>()
    })?;
    suite.original.remove()
}

fn flatten(result: thread::Result<Result<()>>) -> Result<()> {
    result.map_err(|_| anyhow!("a thread panicked"))?
}

fn next_batch<'m>(ready: &Mutex<Receiver<Vec<Built<'m>>>>) -> Option<Vec<Built<'m>>> {
    ready.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// A mutant and its build. None if it does not compile.
type Built<'m> = (&'m Mutant, Option<Subject>);

fn build_batches<'m>(
    stage: &Stage,
    mutants: &[&'m Mutant],
    build_dir: &BuildDir,
    batches: &SyncSender<Vec<Built<'m>>>,
) -> Result<()> {
    for batch in mutants.chunks(mutants.len().div_ceil(MACHINES).min(BATCH)) {
        let built =
            batch.iter().map(|mutant| Ok((*mutant, build_dir.build(stage, mutant)?)));
        if batches.send(built.collect::<Result<_>>()?).is_err() {
            break; // every tester has ended, and reports why
        }
    }
    Ok(())
}

fn test_batch(
    stage: &Stage,
    batch: Vec<Built<'_>>,
    machine: &Machine<'_>,
    suite: &Suite,
    ledger: &Mutex<&mut Ledger>,
) -> Result<()> {
    let ledger = || ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let mut untested = Vec::new();
    for (mutant, subject) in batch {
        match subject {
            Some(subject) => untested.push((mutant, subject)),
            None => ledger().write(mutant, Verdict::NotViable, "the compiler", "")?,
        }
    }
    while !untested.is_empty() {
        let order = |mutant: &Mutant| suite.order(&ledger(), mutant);
        let ordered = untested.iter().map(|(mutant, subject)| Subject {
            order: order(mutant),
            ..subject.clone()
        });
        let ends = machine.test_all(&ordered.collect::<Vec<_>>())?;
        let caught_by: BTreeSet<usize> =
            ends.iter().filter_map(|(_, end)| end.check).collect();
        machine.run_unmutated(
            caught_by
                .into_iter()
                .filter(|check| suite.passes_unmutated(*check).is_none())
                .collect(),
        )?;
        suite.save()?;
        let mut to_repeat = BTreeSet::new();
        for (nth, end) in ends {
            if end
                .check
                .is_some_and(|check| suite.passes_unmutated(check) == Some(false))
            {
                to_repeat.insert(nth);
                continue;
            }
            let verdict = match end.verdict {
                Verdict::Caught => stage.caught,
                Verdict::Survived => stage.survived,
                other => other,
            };
            ledger().write(untested[nth].0, verdict, &end.by, &end.message)?;
            untested[nth].1.remove()?;
        }
        untested = untested
            .into_iter()
            .enumerate()
            .filter(|(nth, _)| to_repeat.contains(nth))
            .map(|(_, it)| it)
            .collect();
    }
    Ok(())
}
