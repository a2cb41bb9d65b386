//! `tests/tasks/run`: tests the checks of the chapters. Each check must detect a task
//! that is not done or done wrongly, and must accept our own answer. See README.md.

mod sandbox;
mod table;
mod trial;
mod vm;
mod working_copy;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Parser;
use kiste_course::tasks::{Chapter, Task};

use sandbox::Sandbox;
use table::{Judgement, Row};
use trial::{Answer, Trial};
use working_copy::WorkingCopy;

/// Tests the check of each chapter with right and wrong answers to its tasks
#[derive(Parser)]
struct Args {
    /// Only this chapter: 3
    #[arg(long, value_name = "NUMBER")]
    chapter: Option<u32>,

    /// Only this task: 2.4
    #[arg(long, value_name = "NUMBER")]
    task: Option<String>,

    /// Also test the tasks that need the virtual machine
    #[arg(long)]
    vm: bool,

    /// Print the step and the tests of a task or chapter, without running them
    #[arg(long, value_name = "NUMBER")]
    tests: Option<String>,

    /// Print the whole output of each failed trial
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
    let (copy, sandbox) = (WorkingCopy::open()?, Sandbox::open()?);
    for step in Chapter::steps() {
        let tasks: Vec<_> = { Chapter::of(&step).tasks }
            .into_iter()
            .filter(|it| args.selects(it))
            .collect();
        if !tasks.is_empty() {
            rows.extend(test_chapter(&args, &copy, &sandbox, &step, &tasks)?);
        }
    }
    ensure!(!rows.is_empty(), "there is no such task");
    let bad = rows.iter().filter(|row| row.judgement.is_bad()).count();
    println!(
        "\n{} answers, {bad} judged wrongly, {} s",
        rows.len(),
        start.elapsed().as_secs()
    );
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints the tests for `tests/vm/check`: `05_cgroups limits::… …`.
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
    eprintln!("there is no task or chapter {number}: expected 5.2 or 05");
    Ok(ExitCode::from(2))
}

fn test_chapter(
    args: &Args,
    copy: &WorkingCopy,
    sandbox: &Sandbox,
    step: &str,
    tasks: &[Task],
) -> Result<Vec<Row>> {
    let (for_vm, for_sandbox): (Vec<_>, Vec<_>) =
        tasks.iter().partition(|task| sandbox.lacks(task));
    let mut rows = Vec::new();
    let print = |row: Row| {
        row.print(args.verbose);
        row
    };
    copy.restore()?;
    if !for_sandbox.is_empty() {
        copy.build(step)?;
        copy.build_workshop()?;
    }
    for task in &for_sandbox {
        // Twice, each time in a sandbox of its own: an answer that only works once is none.
        let first = sandbox.check(copy, step, task)?.judge_right(task);
        let second = sandbox.check(copy, step, task)?.judge_right(task);
        rows.push(print(Row::new(task, "right, twice", first.worse(second))));
        for answer in Answer::wrong_ones(task) {
            let trial = Trial::build(copy, step, task, answer)?;
            let judgement = trial.run(sandbox)?;
            rows.push(print(Row::new(task, answer.name(), judgement)));
        }
        copy.restore()?;
    }
    if !args.vm {
        let unknown = |task: &&Task| Row::new(task, "all answers", Judgement::Unknown);
        rows.extend(for_vm.iter().map(unknown).map(print));
    } else if !for_vm.is_empty() {
        rows.extend(vm::test_all(copy, step, &for_vm)?.into_iter().map(print));
        copy.restore()?;
    }
    Ok(rows)
}
