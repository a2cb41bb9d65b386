//! The options of this step, and of the steps below.

use kiste_tests::{help, options};

use crate::{any_user, root, this_step};

#[test]
fn every_option_of_the_steps_below_is_here() {
    let Some(bench) = root() else { return };
    options::of_the_steps_below_work(&bench);
}

#[test]
fn help_is_as_recorded() {
    help::is_as_recorded(&this_step());
}

#[test]
fn the_examples_of_the_help_work_as_they_are_typed() {
    let Some(bench) = root() else { return };
    help::examples_work(&bench, &[], &[]);
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
    user.call(["run"]).exits(2).complains("Usage").complains("COMMAND");
}
