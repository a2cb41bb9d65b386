//! The tasks of the book's chapters: the tests that check each, and wrong answers that
//! these tests must detect. They are listed in `tests/tasks/NN-name.toml`.
//!
//! `KISTE_CHECK=05` is set by `cargo workshop check` in chapter 5. Then a test that
//! checks a task of that chapter must not be skipped.

mod outcome;
pub mod page;
mod source;

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

pub use outcome::{Outcome, sentence};
pub use source::{Source, Sources};

use crate::{Step, rootfs};

/// The tasks of a chapter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chapter {
    /// The tasks, in the chapter's order.
    #[serde(rename = "task")]
    pub tasks: Vec<Task>,
}

/// A task of a chapter.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Its number in the chapter: `2.4`.
    pub number: String,
    /// The tests that check it, as `--list` prints them.
    pub tests: Vec<String>,
    /// How long it takes a learner who has read the chapter up to it.
    pub minutes: u32,
    /// The functions and values that the answer is made of.
    pub tools: Vec<Tool>,
    /// Hints, of which each says more than the one before: at most three.
    pub hints: Vec<String>,
    /// The check of `doctor` without which these tests cannot run: `cgroup-v2`.
    pub needs: Option<String>,
    /// Answers that look right.
    #[serde(default)]
    pub wrong: Vec<Wrong>,
}

/// Something that the answer to a task uses.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// How it is written: `child.forward(&received)`.
    pub name: String,
    /// Its effect or value.
    pub does: String,
}

/// An answer that looks right, as an edit of the right one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrong {
    /// Its name.
    pub name: String,
    /// The reason why it is wrong: the sentence that helps a learner who has it.
    pub because: String,
    /// The tests that fail by it: all tests of the task, if none is named.
    #[serde(default)]
    pub fails: Vec<String>,
    /// A text in the output of these tests, where another wrong answer fails the same.
    pub output: Option<String>,
    /// A text that stands once in the task's function, or else once in its file.
    pub from: String,
    /// The text that stands there in the wrong answer.
    pub to: String,
    /// How many runs must detect it, where a single run might not.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

impl Chapter {
    /// Returns the tasks of a step: `02-pid`.
    pub fn of(step: &str) -> Self {
        let path = rootfs::workspace().join(format!("tests/tasks/{step}.toml"));
        let text = fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        toml::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Returns the steps that have tasks, in order: `["00-exec", "01-uts", …]`.
    pub fn steps() -> Vec<String> {
        let files = fs::read_dir(rootfs::workspace().join("tests/tasks")).unwrap();
        let paths = files.map(|file| PathBuf::from(file.unwrap().file_name()));
        let tables =
            paths.filter(|path| path.extension().is_some_and(|it| it == "toml"));
        let mut steps: Vec<_> =
            tables.map(|path| path.with_extension("").display().to_string()).collect();
        steps.sort();
        steps
    }
}

thread_local! {
    static IN_ADDITION: Cell<bool> = const { Cell::new(false) };
}

/// Does something that a test tries in addition, such as the same again as an ordinary
/// user. A chapter's check does not fail where that cannot be done.
pub fn in_addition<T>(work: impl FnOnce() -> T) -> T {
    IN_ADDITION.set(true);
    let outcome = work();
    IN_ADDITION.set(false);
    outcome
}

/// In a chapter's check, fails a test that is about to be skipped, if it checks a task
/// of that chapter. `need` is the name of the missing thing in `doctor`.
pub(crate) fn refuse_to_skip(binary: &str, test: &str, need: &str, reason: &str) {
    let Ok(chapter) = std::env::var("KISTE_CHECK") else { return };
    if !IN_ADDITION.get()
        && let Some(refusal) = refusal(&chapter, binary, test, need, reason)
    {
        panic!("{refusal}");
    }
}

fn refusal(
    chapter: &str,
    binary: &str,
    test: &str,
    need: &str,
    reason: &str,
) -> Option<String> {
    let step = binary.replace('_', "-");
    if !step.starts_with(&format!("{chapter}-")) {
        return None;
    }
    let tasks = Chapter::of(&step).tasks;
    let task = tasks.iter().find(|task| task.tests.iter().any(|name| name == test))?;
    let number = &task.number;
    // For `root`, the reason says only which user runs the tests.
    let reason = if need == "root" { need } else { reason };
    let way = match need {
        "root" => {
            "run cargo as root, or where there is sudo, without KISTE_SUDO=never".into()
        }
        "cgroup-v2" => {
            format!("`tests/vm/check {number}` runs it on a kernel that has it")
        }
        _ if reason.contains("not found in PATH") => "install it".into(),
        _ => format!("`cargo {step} doctor` says how to get it"),
    };
    Some(format!("it cannot be checked here: it needs {reason}; {way}"))
}

/// Returns the names of all tests in the running program.
pub fn names_of_tests() -> Vec<String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--list", "--format", "terse"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
    names.map(String::from).collect()
}

/// Asserts that every test that checks a task of this step is in the running program.
pub fn assert_all_tests_exist(step: &Step) {
    let existing = names_of_tests();
    for task in Chapter::of(step.name()).tasks {
        assert!(!task.tests.is_empty(), "no test checks task {}", task.number);
        for test in &task.tests {
            let number = &task.number;
            assert!(existing.contains(test), "task {number}: there is no test {test}");
        }
    }
}

#[test]
fn a_refusal_says_what_would_let_a_task_be_checked() {
    let limits = "limits::on_version_2_each_limit_is_in_its_file";
    let refuse = |chapter, test, need, found| {
        refusal(chapter, "05_cgroups", test, need, &format!("{need}: {found}"))
    };
    assert_eq!(
        refuse("05", limits, "cgroup-v2", "hybrid").unwrap(),
        "it cannot be checked here: it needs cgroup-v2: hybrid; \
         `tests/vm/check 5.2` runs it on a kernel that has it"
    );
    assert_eq!(
        refuse("05", limits, "root", "uid 1000").unwrap(),
        "it cannot be checked here: it needs root; \
         run cargo as root, or where there is sudo, without KISTE_SUDO=never"
    );
    let tool = refuse("05", limits, "strace", "not found in PATH").unwrap();
    assert!(tool.ends_with("; install it"), "{tool}");
    assert_eq!(refuse("06", limits, "root", ""), None);
    assert_eq!(refuse("05", "told::without_stats_nothing_is_told", "root", ""), None);
}
