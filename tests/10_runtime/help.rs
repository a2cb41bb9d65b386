//! The help, which teaches.

use kiste_tests::{Fixture, help, step};

/// The verbs whose help is recorded besides that of `run`.
const VERBS: [&str; 14] = [
    "create", "start", "exec", "state", "kill", "delete", "list", "ps", "pause",
    "resume", "update", "events", "spec", "features",
];

#[test]
fn help_is_as_recorded() {
    help::assert_help_is_as_recorded(&step!("10-runtime"));
    help::assert_help_of_verbs_is_as_recorded(&step!("10-runtime"), &VERBS);
}

#[test]
fn the_examples_in_the_help_work() {
    let Some(fixture) = Fixture::of(step!("10-runtime"), &[]) else { return };
    help::assert_examples_work(&fixture, &[], &[]);
}
