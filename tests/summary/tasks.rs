//! The last lines of a chapter's check: which of its tasks are done.

use std::fmt::Write;

use kiste_tests::tasks::{Chapter, Source, Task};

/// What a check says of one task.
#[derive(Debug, PartialEq)]
enum Verdict {
    Done,
    /// The function is still `todo!()`; where it is.
    ToDo(String),
    Fails(Vec<String>),
}

/// One line a task of this chapter (`02`), for a log with a `failed: TEST` line for each
/// test that has failed. Where only some tests were run, nothing is said of the others.
pub fn verdict(chapter: &str, log: &str, all_were_run: bool) -> String {
    let steps = Chapter::steps();
    let Some(step) = steps.iter().find(|step| step.starts_with(chapter)) else {
        return String::new();
    };
    let is_ours = std::env::var_os("KISTE_BIN").is_none();
    let place = |task: &Task| {
        let source =
            Source::of(task).ok().filter(|source| is_ours && source.is_to_do());
        source.map(|source| source.file.display().to_string())
    };
    lines(step, &Chapter::of(step).tasks, log, all_were_run, &place)
}

fn lines(
    step: &str,
    tasks: &[Task],
    log: &str,
    all_were_run: bool,
    place: &dyn Fn(&Task) -> Option<String>,
) -> String {
    let failed: Vec<_> =
        log.lines().filter_map(|line| line.strip_prefix("failed: ")).collect();
    let of = |task: &Task| {
        let fails = task.tests.iter().filter(|test| failed.contains(&test.as_str()));
        let fails: Vec<_> = fails.cloned().collect();
        match place(task) {
            Some(place) => Verdict::ToDo(place),
            None if fails.is_empty() => Verdict::Done,
            None => Verdict::Fails(fails),
        }
    };
    if !log.lines().any(|line| line == "started") {
        return format!("no test of {step} was run, so no task is checked\n");
    }
    let mut text = String::new();
    let (mut to_do, mut fails) = (None, None);
    for task in tasks {
        let number = &task.number;
        let said = match of(task) {
            Verdict::Done if all_were_run => "done".into(),
            Verdict::Done => continue,
            Verdict::ToDo(place) => {
                to_do = to_do.or(Some(task));
                format!("not written yet, in {place}")
            }
            Verdict::Fails(tests) => {
                fails = fails.or(Some(task));
                format!("fails: {}", tests.join(", "))
            }
        };
        _ = writeln!(text, "task {number}: {said}");
    }
    if let Some(task) = to_do.or(fails) {
        let (number, test) = (&task.number, &task.tests[0]);
        let chapter = &step[..2];
        _ = writeln!(
            text,
            "begin with {number}, since others may fail because of it; \
             alone: cargo check-{chapter} {test}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(log: &str, all_were_run: bool, to_do: &str) -> String {
        let place = |task: &Task| (task.number == to_do).then(|| "init.rs".to_owned());
        lines("02-pid", &Chapter::of("02-pid").tasks, log, all_were_run, &place)
    }

    #[test]
    fn each_task_is_told_and_where_to_begin() {
        let log = "started\nskipped: 02_pid many::x: bash\n\
                   failed: init::init_sends_signals_on\n";
        assert_eq!(
            said(log, true, "2.2"),
            "task 2.1: done\n\
             task 2.2: not written yet, in init.rs\n\
             task 2.3: fails: init::init_sends_signals_on\n\
             task 2.4: done\n\
             begin with 2.2, since others may fail because of it; \
             alone: cargo check-02 namespaces::the_command_is_pid_1\n"
        );
    }

    #[test]
    fn what_was_not_run_is_not_called_done() {
        assert_eq!(
            said("", true, "none"),
            "no test of 02-pid was run, so no task is checked\n"
        );
        assert_eq!(said("started\n", false, "none"), "");
        let log = "started\nfailed: init::init_sends_signals_on\n";
        assert!(said(log, false, "none").starts_with("task 2.3: fails: "));
    }
}
