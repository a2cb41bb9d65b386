//! The tests that check the tasks of the book's chapters.
//!
//! `KISTE_CHECK=05` is set by `cargo workshop check` in chapter 5. Then a test that
//! checks a task of that chapter must not be skipped.

use std::cell::Cell;
use std::process::Command;

use kiste_course::tasks::Chapter;

use crate::Step;

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
