//! The last lines of a chapter's check: which of its tasks are done.

use std::collections::BTreeSet;
use std::fmt::Write;

use kiste_tests::tasks::{Chapter, Source, Task};

/// The verdict of a chapter's check.
pub struct Verdict {
    /// Some lines for the reader.
    pub text: String,
    /// False if no task was checked, or if a task is not written yet. Then the check
    /// has not passed, whatever the results of its tests.
    pub is_checked: bool,
}

/// The state of a task.
enum State {
    Done,
    /// The function, in this file, is still `todo!()`.
    ToDo(String),
    Fails(Vec<String>),
    /// These tests were not run.
    NotRun(Vec<String>),
}

/// Makes a line for each task of this chapter (`02`). The log has `began: TEST` for
/// each test that was run, and `failed: TEST` for each that has failed.
pub fn verdict(chapter: &str, log: &str) -> Verdict {
    let steps = Chapter::steps();
    let Some(step) = steps.iter().find(|step| step.starts_with(chapter)) else {
        let text = format!("there is no chapter {chapter} with tasks\n");
        return Verdict { text, is_checked: false };
    };
    let is_ours = std::env::var_os("KISTE_BIN").is_none();
    let file_to_do = |task: &Task| {
        let source =
            Source::of(task).ok().filter(|source| is_ours && source.is_to_do());
        source.map(|source| source.file.display().to_string())
    };
    Log::read(log).verdict(step, &Chapter::of(step).tasks, &file_to_do)
}

struct Log<'a> {
    /// The tests that were run.
    began: BTreeSet<&'a str>,
    failed: BTreeSet<&'a str>,
}

impl<'a> Log<'a> {
    fn read(log: &'a str) -> Self {
        let tests_with =
            |event| log.lines().filter_map(move |line| line.strip_prefix(event));
        Log {
            began: tests_with("began: ").collect(),
            failed: tests_with("failed: ").collect(),
        }
    }

    fn state(&self, task: &Task, place: Option<String>) -> State {
        let select = |is: &dyn Fn(&str) -> bool| {
            let tests = task.tests.iter().filter(|test| is(test));
            tests.cloned().collect::<Vec<_>>()
        };
        let fails = select(&|test| self.failed.contains(test));
        let not_run = select(&|test| !self.began.contains(test));
        match place {
            Some(place) => State::ToDo(place),
            None if !fails.is_empty() => State::Fails(fails),
            None if !not_run.is_empty() => State::NotRun(not_run),
            None => State::Done,
        }
    }

    fn verdict(
        &self,
        step: &str,
        tasks: &[Task],
        place: &dyn Fn(&Task) -> Option<String>,
    ) -> Verdict {
        if self.began.is_empty() {
            let text = format!("no test of {step} was run, so no task is checked\n");
            return Verdict { text, is_checked: false };
        }
        let mut text = String::new();
        let (mut to_do, mut fails) = (None, None);
        for task in tasks {
            let state = match self.state(task, place(task)) {
                State::Done => "done".into(),
                // The reader has chosen other tests.
                State::NotRun(tests) if tests.len() == task.tests.len() => continue,
                State::NotRun(tests) => {
                    format!(
                        "only partly checked: these tests were not run: {}",
                        tests.join(", ")
                    )
                }
                State::ToDo(place) => {
                    to_do = to_do.or(Some(task));
                    format!("not written yet, in {place}")
                }
                State::Fails(tests) => {
                    fails = fails.or(Some(task));
                    format!("fails: {}", tests.join(", "))
                }
            };
            _ = writeln!(text, "task {}: {state}", task.number);
        }
        if text.is_empty() {
            text += "no test of a task was run\n";
        }
        text += &self.other_failures(tasks);
        if let Some(task) = to_do.or(fails) {
            let (number, test) = (&task.number, &task.tests[0]);
            let chapter = &step[..2];
            _ = writeln!(
                text,
                "begin with {number}, since others may fail because of it; \
                 alone: cargo check-{chapter} {test}"
            );
        }
        Verdict { text, is_checked: to_do.is_none() }
    }

    /// Names the failed tests that do not belong to a task. They fail because one of
    /// the tasks is not right yet.
    fn other_failures(&self, tasks: &[Task]) -> String {
        let is_of_task = |name: &str| {
            tasks.iter().any(|task| task.tests.iter().any(|it| it == name))
        };
        let others: Vec<_> =
            self.failed.iter().copied().filter(|name| !is_of_task(name)).collect();
        match others.len() {
            0 => String::new(),
            1..=3 => format!("but this fails, too: {}\n", others.join(", ")),
            count => {
                let some = others[..3].join(", ");
                format!("but these fail, too: {some} and {} others\n", count - 3)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict_of(began: &[&str], failed: &[&str], to_do: &str) -> Verdict {
        let place = |task: &Task| (task.number == to_do).then(|| "init.rs".to_owned());
        let log = Log {
            began: began.iter().copied().collect(),
            failed: failed.iter().copied().collect(),
        };
        log.verdict("02-pid", &Chapter::of("02-pid").tasks, &place)
    }

    fn all() -> Vec<String> {
        Chapter::of("02-pid").tasks.into_iter().flat_map(|task| task.tests).collect()
    }

    #[test]
    fn the_verdict_names_the_state_of_each_task_and_where_to_begin() {
        let all = all();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        let failed = ["init::init_forwards_signals", "many::fifty"];
        let verdict = verdict_of(&all, &failed, "2.2");
        assert_eq!(
            verdict.text,
            "task 2.1: done\n\
             task 2.2: not written yet, in init.rs\n\
             task 2.3: fails: init::init_forwards_signals\n\
             task 2.4: done\n\
             but this fails, too: many::fifty\n\
             begin with 2.2, since others may fail because of it; \
             alone: cargo check-02 namespaces::the_command_is_pid_1\n"
        );
        assert!(!verdict.is_checked);
        assert!(
            verdict_of(&all, &failed, "none").is_checked,
            "the tests decide about the rest"
        );
    }

    #[test]
    fn a_task_whose_tests_were_not_run_is_not_called_done() {
        let none = verdict_of(&[], &[], "none");
        assert_eq!(none.text, "no test of 02-pid was run, so no task is checked\n");
        assert!(!none.is_checked);
        let other = verdict_of(&["many::fifty"], &[], "none");
        assert_eq!(other.text, "no test of a task was run\n");
        let one = verdict_of(&["init::init_forwards_signals"], &[], "none");
        assert!(
            one.text.starts_with(
                "task 2.3: only partly checked: these tests were not run: "
            )
        );
    }
}
