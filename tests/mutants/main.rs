//! Mutants: every small change that a generator can make to a step's library, against the step's tests.

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

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use anyhow::{Context, Result, anyhow};
use clap::Parser;

use accepted::Accepted;
use chosen::{STEPS, Stage, Step};
use ledger::{Ledger, Verdict};
use machine::Machine;
use mutant::Mutant;
use plan::Subject;
use suite::Suite;
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

/// So many mutants in one boot: more, and less is lost by boots; fewer, and the first is tried sooner.
const BATCH: usize = 20;

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    match (&args.inside, args.subject) {
        (Some(plan), None) => return inside::all(plan).map(|()| ExitCode::SUCCESS),
        (Some(plan), Some(nth)) => return inside::one(plan, nth).map(|()| ExitCode::SUCCESS),
        _ => {}
    }
    let workshop = Workshop::open()?;
    let accepted = Accepted::read()?;
    let mut table = Table::default();
    let is_asked = |step: &&Step| args.step.is_empty() || args.step.iter().any(|name| name == step.name);
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
        try_in_stages(step, &chosen, &workshop, &accepted, &mut ledger)?;
        table.add(step, &listed, &chosen, &ledger, &accepted);
    }
    Ok(if args.list || table.print() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is not known yet is tried by the step's own tests, and what survives by those of steps above.
fn try_in_stages(
    step: &Step,
    chosen: &[&Mutant],
    workshop: &Workshop,
    accepted: &Accepted,
    ledger: &mut Ledger,
) -> Result<()> {
    let untried: Vec<_> = chosen.iter().filter(|mutant| ledger.of(mutant).is_none()).copied().collect();
    try_them(&step.own(), &untried, workshop, ledger)?;
    for above in step.above() {
        let has_survived =
            |mutant: &&&Mutant| ledger.of(mutant).is_some_and(|entry| entry.verdict == Verdict::SurvivedHere);
        let survivors = chosen.iter().filter(has_survived).filter(|mutant| !accepted.has(mutant));
        let survivors: Vec<_> = survivors.copied().collect();
        try_them(&above, &survivors, workshop, ledger)?;
    }
    Ok(())
}

/// While one batch is in the machine, the next is built.
fn try_them(stage: &Stage, mutants: &[&Mutant], workshop: &Workshop, ledger: &mut Ledger) -> Result<()> {
    if mutants.is_empty() {
        return Ok(());
    }
    workshop.refresh()?;
    let suite = Suite::built(stage, workshop)?;
    let original = workshop.build_tree(stage)?.context("the tree without any change does not compile")?;
    let (batches, ready) = sync_channel(1);
    thread::scope(|scope| {
        let builder = scope.spawn(move || build_batches(stage, mutants, workshop, &batches));
        let suite = suite.measured(stage, &original, workshop)?;
        original.remove()?;
        let mut machine = Machine::new(workshop.dir(), &suite);
        for batch in ready {
            try_batch(stage, batch, &mut machine, ledger)?;
        }
        builder.join().map_err(|_| anyhow!("the builder panicked"))?
    })
}

type Built<'m> = (&'m Mutant, Option<Subject>);

fn build_batches<'m>(
    stage: &Stage,
    mutants: &[&'m Mutant],
    workshop: &Workshop,
    batches: &SyncSender<Vec<Built<'m>>>,
) -> Result<()> {
    for batch in mutants.chunks(BATCH) {
        let built = batch.iter().map(|mutant| Ok((*mutant, workshop.build(stage, mutant)?)));
        if batches.send(built.collect::<Result<_>>()?).is_err() {
            break; // nobody tries them any more, and says why
        }
    }
    Ok(())
}

fn try_batch(stage: &Stage, batch: Vec<Built<'_>>, machine: &mut Machine, ledger: &mut Ledger) -> Result<()> {
    let (mut mutants, mut subjects) = (Vec::new(), Vec::new());
    for (mutant, subject) in batch {
        match subject {
            Some(subject) => {
                mutants.push(mutant);
                subjects.push(subject);
            }
            None => ledger.write(mutant, Verdict::NotViable, "the compiler", "")?,
        }
    }
    machine.sort(ledger);
    machine.try_all(&subjects, |nth, end| {
        let verdict = match end.verdict {
            Verdict::Caught => stage.caught,
            Verdict::Survived => stage.survived,
            other => other,
        };
        ledger.write(mutants[nth], verdict, &end.by, &end.said)
    })?;
    subjects.iter().try_for_each(Subject::remove)
}
