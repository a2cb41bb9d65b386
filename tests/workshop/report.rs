//! Prints the result of a check on about ten lines.

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use kiste_tests::tasks::{Outcome, Source, Task, sentence};

use crate::check::{Checked, Verdict};
use crate::page;
use crate::workspace::{Workspace, place};

/// How many lines of a message are printed.
const LINES: usize = 4;

const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default();

/// Prints the result, and returns whether all is green.
///
/// # Errors
/// When the chapter's page cannot be read.
pub fn print(workspace: &Workspace, checked: &Checked) -> Result<bool> {
    let outcome = match &checked.verdict {
        Verdict::DoesNotCompile(first, count) => {
            anstream::println!(
                "{}",
                first.lines().take(2 * LINES).collect::<Vec<_>>().join("\n")
            );
            anstream::println!("{RED}✗{RED:#} it does not compile: errors: {count}");
            return Ok(false);
        }
        Verdict::Ran(outcome) => outcome,
    };
    let first_red = checked.tasks.iter().find(|task| !outcome.is_green(task));
    for task in &checked.tasks {
        match outcome.is_green(task) {
            _ if checked.tasks.len() == 1 => {}
            true => anstream::println!("{GREEN}✓{GREEN:#} task {}", task.number),
            false => anstream::println!("{RED}✗{RED:#} task {}", task.number),
        }
    }
    match first_red {
        Some(task) => print_red(workspace, checked, outcome, task)?,
        None if checked.tasks.len() == 1 => {
            for test in &checked.tasks[0].tests {
                anstream::println!("{GREEN}✓{GREEN:#} {}", sentence(test));
            }
            anstream::println!(
                "{GREEN}task {} is green{GREEN:#}",
                checked.tasks[0].number
            );
        }
        None => anstream::println!(
            "{GREEN}chapter {} is green{GREEN:#}",
            &checked.step[..2]
        ),
    }
    Ok(first_red.is_none())
}

/// Prints the first failure of a task, what it means, and where to look.
fn print_red(
    workspace: &Workspace,
    checked: &Checked,
    outcome: &Outcome,
    task: &Task,
) -> Result<()> {
    let number = &task.number;
    let mut has_failed = false;
    for test in &task.tests {
        let says = sentence(test);
        match outcome.message_of(test) {
            None if outcome.passed.contains(test) => {
                anstream::println!("{GREEN}✓{GREEN:#} {says}");
            }
            None => anstream::println!("- {says}: not run"),
            Some(_) if has_failed => anstream::println!("{RED}✗{RED:#} {says}"),
            Some(message) => {
                has_failed = true;
                anstream::println!("{RED}✗{RED:#} {says}");
                let mut lines = message.lines();
                for line in lines.by_ref().take(LINES) {
                    anstream::println!("    {line}");
                }
                if lines.next().is_some() {
                    anstream::println!("    …");
                }
            }
        }
    }
    match outcome.unwritten() {
        Some(other) if other == number => {}
        Some(other) => {
            anstream::println!("first: task {other}, which is not written yet")
        }
        None => {
            for mistake in outcome.known_mistakes(task) {
                anstream::println!(
                    "a known mistake fails like this: {}",
                    mistake.because
                );
            }
        }
    }
    if checked.is_source
        && let Ok(source) = Source::below(workspace.root(), number)
    {
        anstream::println!("look at {}", place(&source));
    }
    let section = page::section(&checked.step);
    anstream::println!("more: {section}; `cargo workshop hint {number}`");
    Ok(())
}
