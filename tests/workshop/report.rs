//! Prints the result of a check on about ten lines.

use std::fmt::Write;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use kiste_course::tasks::{Outcome, Source, Task, Wrong, sentence};

use crate::breakage::is_broken;
use crate::check::{Checked, Others, Verdict};
use crate::learner::answer_below;
use crate::page;
use crate::workspace::Workspace;

/// How many lines of a message are printed.
const LINES: usize = 4;

/// How many of the other failed tests are named.
const OTHERS: usize = 3;

const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default();

/// Prints the result, and returns whether all is green.
///
/// # Errors
/// When the chapter's page cannot be read.
pub fn print(workspace: &Workspace, checked: &Checked) -> Result<bool> {
    let (text, is_green) = text(workspace, checked)?;
    anstream::print!("{text}");
    if is_green && checked.is_source && !workspace.is_learners() {
        anstream::println!("this workspace is complete: the answers are ours");
    }
    Ok(is_green)
}

/// Words the result, and returns whether all is green.
fn text(workspace: &Workspace, checked: &Checked) -> Result<(String, bool)> {
    let mut text = String::new();
    let outcome = match &checked.verdict {
        Verdict::DoesNotCompile(first, count) => {
            for line in first.lines().take(2 * LINES) {
                writeln!(text, "{line}")?;
            }
            writeln!(text, "{RED}✗{RED:#} it does not compile: errors: {count}")?;
            return Ok((text, false));
        }
        Verdict::Ran(outcome) => outcome,
    };
    let (step, tasks) = (&checked.step, &checked.tasks);
    let first_red = tasks.iter().find(|task| !checked.is_green(task));
    for task in tasks.iter().filter(|_| tasks.len() > 1) {
        let (mark, style) = mark(checked.is_green(task));
        writeln!(text, "{style}{mark}{style:#} task {}", task.number)?;
    }
    match (first_red, &tasks[..], &checked.others) {
        (Some(task), ..) => text += &red(workspace, checked, outcome, task)?,
        (None, _, Some(others)) => {
            let (what, is_green) = of_others(step, others)?;
            return Ok((text + &what, is_green));
        }
        (None, [task], None) => {
            for test in &task.tests {
                writeln!(text, "{GREEN}✓{GREEN:#} {}", sentence(test))?;
            }
            writeln!(text, "{GREEN}task {} is green{GREEN:#}", task.number)?;
        }
        (None, _, None) => writeln!(text, "{GREEN}all tasks are green{GREEN:#}")?,
    }
    Ok((text, first_red.is_none()))
}

fn mark(is_green: bool) -> (&'static str, Style) {
    if is_green { ("✓", GREEN) } else { ("✗", RED) }
}

/// Words the first failure of a task, what it means, and where to look.
fn red(
    workspace: &Workspace,
    checked: &Checked,
    outcome: &Outcome,
    task: &Task,
) -> Result<String> {
    let (mut text, number) = (String::new(), &task.number);
    let mut has_failed = false;
    for test in &task.tests {
        let says = sentence(test);
        match outcome.message_of(test) {
            None if outcome.passed.contains(test) => {
                writeln!(text, "{GREEN}✓{GREEN:#} {says}")?;
            }
            None => writeln!(text, "- {says}: not run")?,
            Some(_) if has_failed => writeln!(text, "{RED}✗{RED:#} {says}")?,
            Some(message) => {
                has_failed = true;
                writeln!(text, "{RED}✗{RED:#} {says}")?;
                let mut lines = message.lines();
                for line in lines.by_ref().take(LINES) {
                    writeln!(text, "    {line}")?;
                }
                if lines.next().is_some() {
                    writeln!(text, "    …")?;
                }
            }
        }
    }
    let found = checked.is_source.then(|| answer_below(workspace.root(), number));
    if let Some(Err(error)) = &found {
        writeln!(text, "{error}")?;
    }
    let source = found.and_then(Result::ok);
    for line in meaning(workspace.root(), checked, outcome, task, source.as_ref()) {
        writeln!(text, "{line}")?;
    }
    if let Some(source) = source {
        writeln!(text, "look at {}", source.place())?;
    }
    if checked.is_source && is_broken(workspace) {
        writeln!(text, "a step is broken on purpose: `cargo workshop restore`")?;
    }
    let section = page::section(&checked.step);
    writeln!(text, "more: {section}; `cargo workshop hint {number}`")?;
    Ok(text)
}

/// Says why a task fails, if that is known.
fn meaning(
    root: &Path,
    checked: &Checked,
    outcome: &Outcome,
    task: &Task,
    source: Option<&Source>,
) -> Vec<String> {
    let number = &task.number;
    match outcome.unwritten() {
        Some(other) if other != number => {
            return vec![format!("first: task {other}, which is not written yet")];
        }
        _ if checked.to_do.contains(number) => {
            let what = format!(
                "task {number} is not done yet: its todo!() is still there, in {}",
                root.display()
            );
            return vec![what];
        }
        _ => {}
    }
    if let Some(source) = source.filter(|source| source.does_nothing()) {
        return vec![format!(
            "`fn {}` does nothing yet: it only returns",
            source.function
        )];
    }
    if let Some(place) = outcome.panic() {
        return vec![format!(
            "your code panics at {place}: see the message above, and return an error instead"
        )];
    }
    let because = |mistake: &Wrong| {
        format!("a known mistake fails like this: {}", mistake.because)
    };
    outcome.known_mistakes(task).into_iter().map(because).collect()
}

/// Words the end of a chapter whose tasks are green.
fn of_others(step: &str, others: &Others) -> Result<(String, bool)> {
    let (mut text, outcome) = (String::new(), &others.outcome);
    let (passed, failed) = (outcome.passed.len(), &outcome.failed);
    for (test, _) in failed.iter().take(OTHERS) {
        writeln!(text, "{RED}✗{RED:#} {test}")?;
    }
    if failed.len() > OTHERS {
        writeln!(text, "  … and {} more", failed.len() - OTHERS)?;
    }
    match failed.first() {
        Some((test, _)) => {
            let target = step.replace('-', "_");
            writeln!(
                text,
                "{RED}other tests of the step fail: {}{RED:#}",
                failed.len()
            )?;
            writeln!(text, "alone: cargo test -p step-{step} --test {target} {test}")?;
        }
        None => writeln!(
            text,
            "{GREEN}chapter {} is green{GREEN:#}, and so are {passed} other tests of its step",
            step[..2].parse::<u32>()?,
        )?,
    }
    if let Some(skipped) = &others.skipped {
        writeln!(text, "{skipped}")?;
    }
    Ok((text, failed.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use kiste_course::tasks::Chapter;

    use super::*;

    /// Words a check of chapter 2, of which these tests have passed and failed. The tasks
    /// in `to_do` still have their `todo!()`.
    fn words(
        tasks: &[Task],
        ended: (&[String], &[(String, &str)]),
        to_do: &[&str],
        others: Option<Others>,
    ) -> (String, bool) {
        words_in(&kiste_course::workspace(), tasks, ended, to_do, others)
    }

    /// Words it in this workspace.
    fn words_in(
        workspace: &Path,
        tasks: &[Task],
        (passed, failed): (&[String], &[(String, &str)]),
        to_do: &[&str],
        others: Option<Others>,
    ) -> (String, bool) {
        let workspace = Workspace::at(workspace);
        let failed = failed.iter().map(|(test, says)| (test.clone(), (*says).into()));
        let (passed, failed) = (passed.to_vec(), failed.collect());
        let verdict = Verdict::Ran(Outcome { passed, failed });
        let to_do = to_do.iter().map(|number| (*number).into()).collect();
        let (step, tasks) = ("02-pid".into(), tasks.to_vec());
        let checked = Checked {
            step,
            tasks,
            is_source: true,
            digest: String::new(),
            to_do,
            verdict,
            others,
        };
        let (text, is_green) = text(&workspace, &checked).unwrap();
        (anstream::adapter::strip_str(&text).to_string(), is_green)
    }

    fn tasks() -> Vec<Task> {
        Chapter::of("02-pid").tasks
    }

    fn tests(tasks: &[Task]) -> Vec<String> {
        tasks.iter().flat_map(|task| task.tests.clone()).collect()
    }

    #[test]
    fn a_known_mistake_gets_its_sentence_on_about_ten_lines() {
        for task in tasks() {
            for wrong in &task.wrong {
                let fails = wrong.failing(&task);
                let says = wrong.output.as_deref().unwrap_or("1\n2\n3\n4\n5");
                let failed: Vec<_> =
                    fails.iter().map(|test| (test.clone(), says)).collect();
                let (text, is_green) =
                    words(from_ref(&task), (&[], &failed), &[], None);
                let because = format!("fails like this: {}\n", wrong.because);
                assert!(text.contains(&because) && !is_green, "{text}");
                assert!(text.contains("\nlook at steps/02-pid/src/"), "{text}");
                assert!(text.contains(&format!("hint {}`", task.number)), "{text}");
                assert!(text.lines().count() <= 12, "{text}");
            }
        }
    }

    #[test]
    fn a_task_with_a_todo_is_not_done_although_its_tests_pass() {
        let task = &tasks()[1];
        let passed = (&task.tests[..], &[][..]);
        let (text, is_green) = words(from_ref(task), passed, &["2.2"], None);
        assert!(text.contains("task 2.2 is not done yet") && !is_green, "{text}");
        let (text, is_green) = words(from_ref(task), passed, &[], None);
        assert!(text.ends_with("task 2.2 is green\n") && is_green, "{text}");
    }

    #[test]
    fn code_that_panics_is_named_with_its_place() {
        let task = &tasks()[1];
        for end in ["\n", "\\n"] {
            let says = format!(
                "error: a bug in Kiste: panicked at steps/02-pid/src/lib.rs:37:46:{end}\
                 called `Option::unwrap()` on a `None` value"
            );
            let failed = [(task.tests[0].clone(), &*says)];
            let (text, _) = words(from_ref(task), (&[], &failed), &[], None);
            let place = "your code panics at steps/02-pid/src/lib.rs:37:46: see";
            assert!(text.contains(place), "{text}");
        }
    }

    #[test]
    fn an_answer_that_only_returns_is_said_to_do_nothing() {
        let dir = tempfile::tempdir().unwrap();
        crate::starter::fill(&kiste_course::workspace(), dir.path(), &[]).unwrap();
        let task = &Chapter::of("01-uts").tasks[2];
        let source = Source::below(dir.path(), "1.3").unwrap();
        let file = dir.path().join(&source.file);
        std::fs::write(file, source.with_body("    Ok(())\n")).unwrap();
        let failed = vec![(task.tests[0].clone(), "no name".into())];
        let verdict = Verdict::Ran(Outcome { passed: Vec::new(), failed });
        let (step, tasks) = ("01-uts".into(), vec![task.clone()]);
        let (is_source, to_do, others) = (true, Vec::new(), None);
        let digest = String::new();
        let checked =
            Checked { step, tasks, is_source, digest, to_do, verdict, others };
        let (text, _) = text(&Workspace::at(dir.path()), &checked).unwrap();
        assert!(text.contains("`fn set_names` does nothing yet"), "{text}");
    }

    #[test]
    fn a_mark_that_the_learner_has_removed_is_missed() {
        let dir = tempfile::tempdir().unwrap();
        crate::starter::fill(&kiste_course::workspace(), dir.path(), &[]).unwrap();
        let task = &tasks()[1];
        let source = Source::below(dir.path(), &task.number).unwrap();
        let file = dir.path().join(&source.file);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("// Task 2.2:", "// Mine:")).unwrap();
        let failed = [(task.tests[0].clone(), "no")];
        let (text, _) = words_in(dir.path(), from_ref(task), (&[], &failed), &[], None);
        assert!(text.contains("`// Task 2.2:` must be in one file"), "{text}");
        assert!(text.contains("`cargo workshop reset 2`"), "{text}");
    }

    #[test]
    fn an_earlier_task_that_is_not_written_comes_first() {
        let task = &tasks()[1];
        let failed = [(task.tests[0].clone(), "not written yet: task 2.1: spawn")];
        let (text, _) = words(from_ref(task), (&[], &failed), &[], None);
        assert!(text.contains("first: task 2.1, which is not written yet"), "{text}");
        assert!(!text.contains("a known mistake"), "{text}");
    }

    #[test]
    fn a_test_that_was_not_run_is_not_green() {
        let task = &tasks()[3];
        let (text, is_green) = words(from_ref(task), (&[], &[]), &[], None);
        assert!(text.contains(": not run\n") && !is_green, "{text}");
    }

    #[test]
    fn a_compilers_error_is_cut_and_counted() {
        let first = "error\n".repeat(30);
        let verdict = Verdict::DoesNotCompile(first, 3);
        let (step, to_do) = ("02-pid".into(), Vec::new());
        let checked = Checked {
            step,
            tasks: tasks(),
            is_source: true,
            digest: String::new(),
            to_do,
            verdict,
            others: None,
        };
        let workspace = Workspace::at(&kiste_course::workspace());
        let (text, is_green) = text(&workspace, &checked).unwrap();
        assert!(text.ends_with("it does not compile: errors: 3\n") && !is_green);
        assert_eq!(text.lines().count(), 2 * LINES + 1);
    }

    #[test]
    fn the_other_tests_of_a_step_can_make_a_chapter_red_and_skips_are_told() {
        let tasks = tasks();
        let passed = tests(&tasks);
        let others = |failed: &[&str]| {
            let failed = failed.iter().map(|test| ((*test).into(), String::new()));
            let (passed, failed) = (vec!["many::fifty".into()], failed.collect());
            let skipped = Some("2 tests were not run here".into());
            Some(Others { outcome: Outcome { passed, failed }, skipped })
        };
        let (text, is_green) = words(&tasks, (&passed, &[]), &[], others(&[]));
        assert!(
            text.ends_with(
                "✓ task 2.4\nchapter 2 is green, and so are 1 other tests of its step\n\
                 2 tests were not run here\n"
            ) && is_green,
            "{text}"
        );
        let (text, is_green) =
            words(&tasks, (&passed, &[]), &[], others(&["a", "b", "c", "d", "e"]));
        assert!(
            text.contains(
                "✗ c\n  … and 2 more\nother tests of the step fail: 5\n\
                 alone: cargo test -p step-02-pid --test 02_pid a\n"
            ) && !is_green,
            "{text}"
        );
    }
}
