//! Mutants: every small change that a generator can make to a step's library, against
//! the step's tests.

mod accepted;
mod chosen;
mod inside;
mod ledger;
mod machine;
mod mutant;
mod plan;
mod suite;
mod table;
mod workshop;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, anyhow};
use clap::Parser;

use accepted::Accepted;
use chosen::{STEPS, Stage, Step};
use ledger::{Ledger, Verdict};
use machine::{MACHINES, Machine};
use mutant::Mutant;
use plan::Subject;
use suite::{Suite, Tests};
use table::Table;
use workshop::Workshop;

/// Makes mutants of the steps' libraries, and sees which of them the tests catch.
#[derive(Parser)]
#[command(name = "tests/mutants/generated")]
struct Args {
    /// Only of this step: 05-cgroups
    #[arg(long, value_parser = STEPS.map(|step| step.name))]
    step: Vec<String>,
    /// Only so many of each step
    #[arg(long, value_name = "NUMBER")]
    sample: Option<usize>,
    /// Which ones: another number, other mutants
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    tests: Tests,
    /// Only those that have this in their name
    word: Option<String>,
    /// Try those anew that survived the last time
    #[arg(long)]
    again: bool,
    /// List them, and try none
    #[arg(long)]
    list: bool,
    /// Called inside of the virtual machine, with what is to be done there
    #[arg(long, value_name = "PLAN", hide = true)]
    inside: Option<PathBuf>,
    /// Which one of the plan; without, all
    #[arg(long, requires = "inside", hide = true)]
    subject: Option<usize>,
}

/// At most so many mutants in one boot: more, and less is lost by boots; fewer, and
/// what has caught one of a file is tried first with the next one sooner.
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
    let workshop = Workshop::open()?;
    let accepted = Accepted::read()?;
    let mut table = Table::default();
    let is_asked = |step: &&Step| {
        args.step.is_empty() || args.step.iter().any(|name| name == step.name)
    };
    for step in STEPS.iter().filter(is_asked) {
        let listed = mutant::of(step)?;
        let chosen = chosen::of(&listed, args.word.as_deref(), args.sample, args.seed);
        if args.list {
            chosen.iter().for_each(|mutant| println!("{mutant}"));
            continue;
        }
        let mut ledger = Ledger::open(workshop.dir(), step)?;
        if args.again {
            ledger.forget(&[Verdict::Survived, Verdict::SurvivedHere]);
        }
        try_in_stages(step, &chosen, &args.tests, &workshop, &accepted, &mut ledger)?;
        table.add(step, &listed, &chosen, &ledger, &accepted);
    }
    Ok(if args.list || table.print() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is not known yet is tried by the step's own tests, and what survives by those
/// of steps above.
fn try_in_stages(
    step: &Step,
    chosen: &[&Mutant],
    tests: &Tests,
    workshop: &Workshop,
    accepted: &Accepted,
    ledger: &mut Ledger,
) -> Result<()> {
    let untried: Vec<_> =
        chosen.iter().filter(|mutant| ledger.of(mutant).is_none()).copied().collect();
    try_them(&step.own(), &untried, tests, workshop, ledger)?;
    for above in step.above() {
        let has_survived = |mutant: &&&Mutant| {
            ledger
                .of(mutant)
                .is_some_and(|entry| entry.verdict == Verdict::SurvivedHere)
        };
        let survivors =
            chosen.iter().filter(has_survived).filter(|mutant| !accepted.has(mutant));
        let survivors: Vec<_> = survivors.copied().collect();
        try_them(&above, &survivors, tests, workshop, ledger)?;
    }
    Ok(())
}

/// While batches are in the machines, the next one is built.
fn try_them(
    stage: &Stage,
    mutants: &[&Mutant],
    tests: &Tests,
    workshop: &Workshop,
    ledger: &mut Ledger,
) -> Result<()> {
    if mutants.is_empty() {
        return Ok(());
    }
    workshop.refresh()?;
    let original = workshop
        .build_tree(stage)?
        .context("the tree without any change does not compile")?;
    let suite = Suite::built(stage, tests, original, workshop)?;
    let (batches, ready) = sync_channel(1);
    let ledger = Mutex::new(ledger);
    thread::scope(|scope| {
        let builder =
            scope.spawn(move || build_batches(stage, mutants, workshop, &batches));
        // Dropped by the last of the testers, also by one that fails, so that the
        // builder does not wait.
        let ready = Arc::new(Mutex::new(ready));
        let (suite, ledger) = (&suite, &ledger);
        let tester = |number: usize| {
            let ready = Arc::clone(&ready);
            let machine = Machine::numbered(number, &workshop.dir(), suite);
            scope.spawn(move || {
                while let Some(batch) = next(&ready) {
                    try_batch(stage, batch, &machine, suite, ledger)?;
                }
                Ok(())
            })
        };
        let testers: Vec<_> = (0..MACHINES).map(tester).collect();
        drop(ready);
        let ends = testers.into_iter().map(|tester| joined(tester.join()));
        let ends: Vec<Result<()>> = ends.chain([joined(builder.join())]).collect();
        ends.into_iter().collect::<Result<()>>()
    })?;
    suite.original.remove()
}

fn joined(end: thread::Result<Result<()>>) -> Result<()> {
    end.map_err(|_| anyhow!("a thread panicked"))?
}

fn next<'m>(ready: &Mutex<Receiver<Vec<Built<'m>>>>) -> Option<Vec<Built<'m>>> {
    ready.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

type Built<'m> = (&'m Mutant, Option<Subject>);

fn build_batches<'m>(
    stage: &Stage,
    mutants: &[&'m Mutant],
    workshop: &Workshop,
    batches: &SyncSender<Vec<Built<'m>>>,
) -> Result<()> {
    for batch in mutants.chunks(mutants.len().div_ceil(MACHINES).min(BATCH)) {
        let built =
            batch.iter().map(|mutant| Ok((*mutant, workshop.build(stage, mutant)?)));
        if batches.send(built.collect::<Result<_>>()?).is_err() {
            break; // nobody tries them any more, and says why
        }
    }
    Ok(())
}

fn try_batch(
    stage: &Stage,
    batch: Vec<Built<'_>>,
    machine: &Machine<'_>,
    suite: &Suite,
    ledger: &Mutex<&mut Ledger>,
) -> Result<()> {
    let ledger = || ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let mut left = Vec::new();
    for (mutant, subject) in batch {
        match subject {
            Some(subject) => left.push((mutant, subject)),
            None => ledger().write(mutant, Verdict::NotViable, "the compiler", "")?,
        }
    }
    while !left.is_empty() {
        let order = |mutant: &Mutant| suite.order(&ledger(), mutant);
        let ordered = left.iter().map(|(mutant, subject)| Subject {
            order: order(mutant),
            ..subject.clone()
        });
        let ends = machine.try_all(&ordered.collect::<Vec<_>>())?;
        let caught_by: BTreeSet<usize> =
            ends.iter().filter_map(|(_, end)| end.check).collect();
        machine.prove(
            caught_by
                .into_iter()
                .filter(|check| suite.is_fit(*check).is_none())
                .collect(),
        )?;
        suite.save()?;
        let mut again = BTreeSet::new();
        for (nth, end) in ends {
            if end.check.is_some_and(|check| suite.is_fit(check) == Some(false)) {
                again.insert(nth);
                continue;
            }
            let verdict = match end.verdict {
                Verdict::Caught => stage.caught,
                Verdict::Survived => stage.survived,
                other => other,
            };
            ledger().write(left[nth].0, verdict, &end.by, &end.said)?;
            left[nth].1.remove()?;
        }
        left = left
            .into_iter()
            .enumerate()
            .filter(|(nth, _)| again.contains(nth))
            .map(|(_, it)| it)
            .collect();
    }
    Ok(())
}
