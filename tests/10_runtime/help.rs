//! The help, which teaches.

use kiste_tests::{Fixture, help, step};

/// The verbs whose help is recorded besides that of `run`.
const VERBS: [&str; 15] = [
    "create", "start", "exec", "state", "kill", "delete", "list", "ps", "pause",
    "resume", "update", "events", "spec", "features", "doctor",
];

#[test]
fn help_is_as_recorded() {
    help::assert_help_is_as_recorded(&step!("10-runtime"));
    help::assert_help_of_verbs_is_as_recorded(&step!("10-runtime"), &VERBS);
}

#[test]
fn the_examples_in_the_help_work() {
    let Some(fixture) = Fixture::of(step!("10-runtime"), &[]) else { return };
    if !fixture.step().is_ours() {
        return;
    }
    let root = fixture.dir().join("run");
    let run = |words: &[&str]| {
        let mut program = std::process::Command::new(fixture.step().exe());
        program.arg("--root").arg(&root).args(words).output().unwrap()
    };
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let typed = "cargo run --bin 10-runtime -- ";
    let examples: Vec<_> =
        help.lines().filter_map(|line| Some(line.split_once(typed)?.1)).collect();
    assert!(examples.len() > 1, "{help}");
    for example in examples {
        let words: Vec<_> = example.split(' ').collect();
        let ran = run(&words);
        assert!(ran.status.success() && !ran.stdout.is_empty(), "{example}: {ran:?}");
    }
}
