//! The options of this step, and of the steps below.

use kiste_tests::{help, options};

use crate::{any_user, root, this_step};

#[test]
fn every_option_of_the_earlier_steps_works() {
    let Some(fixture) = root() else { return };
    options::assert_earlier_options_work(&fixture);
}

#[test]
fn help_is_as_recorded() {
    help::assert_help_is_as_recorded(&this_step());
}

#[test]
fn the_examples_of_the_help_work_as_they_are_typed() {
    let Some(fixture) = root() else { return };
    help::assert_examples_work(&fixture, &[], &[]);
}

#[test]
fn help_describes_the_options_of_user_namespaces() {
    let Some(user) = any_user() else { return };
    let help = user.call(["run", "--help"]);
    for option in [
        "--userns <MODE>",
        "host",
        "keep-id",
        "auto",
        "--uid-map",
        "--gid-map",
        "-u, --user",
        "C:H:SIZE",
    ] {
        assert!(help.exits(0).out.contains(option), "{option}:\n{}", help.out);
    }
    user.call(["--version"]).exits(0);
    user.call(["run"])
        .exits(2)
        .assert_stderr_contains("Usage")
        .assert_stderr_contains("COMMAND");
}
