//! `tests/tasks/run`: whether the check of each chapter finds a task that is not done,
//! or done wrongly, and is content with our own answer. See README.md.

mod place;
mod table;
mod tree;
mod trial;
mod vm;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Parser;
use kiste_tests::tasks::{Chapter, Task};

use place::Place;
use table::{Cell, Row};
use tree::Tree;
use trial::{Answer, Trial};

/// Tries the check of each chapter on answers to its tasks
#[derive(Parser)]
struct Args {
    /// Only this chapter: 3
    #[arg(long, value_name = "NUMBER")]
    chapter: Option<u32>,

    /// Only this task: 2.4
    #[arg(long, value_name = "NUMBER")]
    task: Option<String>,

    /// Try in the virtual machine what needs one, too
    #[arg(long)]
    vm: bool,

    /// Print the step and the tests of a task, or of a chapter, and try nothing
    #[arg(long, value_name = "NUMBER")]
    tests: Option<String>,

    /// Print what each failed trial has printed
    #[arg(long)]
    verbose: bool,
}

impl Args {
    fn selects(&self, task: &Task) -> bool {
        let chapter = |number: u32| task.number.starts_with(&format!("{number}."));
        self.chapter.is_none_or(chapter)
            && self.task.as_ref().is_none_or(|number| *number == task.number)
    }
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if let Some(number) = &args.tests {
        return print_tests(number);
    }
    let start = Instant::now();
    let mut rows = Vec::new();
    let (tree, place) = (Tree::open()?, Place::open()?);
    for step in Chapter::steps() {
        let tasks: Vec<_> = { Chapter::of(&step).tasks }
            .into_iter()
            .filter(|it| args.selects(it))
            .collect();
        if !tasks.is_empty() {
            rows.extend(try_chapter(&args, &tree, &place, &step, &tasks)?);
        }
    }
    ensure!(!rows.is_empty(), "there is no such task");
    let bad = rows.iter().filter(|row| row.cell.is_bad()).count();
    println!(
        "\n{} answers, {bad} not judged as they should be, {} s",
        rows.len(),
        start.elapsed().as_secs()
    );
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// For `tests/vm/check`: `05_cgroups limits::… …`.
fn print_tests(number: &str) -> Result<ExitCode> {
    for step in Chapter::steps() {
        let chapter = Chapter::of(&step);
        let tasks = chapter.tasks.iter().filter(|task| {
            task.number == number || step.starts_with(&format!("{number}-"))
        });
        let mut tests: Vec<_> = tasks.flat_map(|task| &task.tests).cloned().collect();
        tests.sort();
        tests.dedup();
        if !tests.is_empty() {
            println!("{} {}", step.replace('-', "_"), tests.join(" "));
            return Ok(ExitCode::SUCCESS);
        }
    }
    eprintln!("there is no task or chapter {number}: 5.2, or 05");
    Ok(ExitCode::from(2))
}

fn try_chapter(
    args: &Args,
    tree: &Tree,
    place: &Place,
    step: &str,
    tasks: &[Task],
) -> Result<Vec<Row>> {
    let (there, here): (Vec<_>, Vec<_>) =
        tasks.iter().partition(|task| place.lacks(task));
    let mut rows = Vec::new();
    let tell = |row: Row| {
        row.print(args.verbose);
        row
    };
    tree.restore()?;
    let right =
        (!here.is_empty()).then(|| place.check(tree, step, &here)).transpose()?;
    for task in &here {
        let cell = right.as_ref().map_or(Cell::Unknown, |ran| ran.is_right(task));
        rows.push(tell(Row::new(task, "right", cell)));
        for answer in Answer::wrong_ones(task) {
            let trial = Trial::build(tree, step, task, answer)?;
            let cell = trial.run(place)?;
            rows.push(tell(Row::new(task, answer.name(), cell)));
        }
        tree.restore()?;
    }
    if !args.vm {
        let unknown = |task: &&Task| Row::new(task, "all answers", Cell::Unknown);
        rows.extend(there.iter().map(unknown).map(tell));
    } else if !there.is_empty() {
        rows.extend(vm::try_all(tree, step, &there)?.into_iter().map(tell));
        tree.restore()?;
    }
    Ok(rows)
}
