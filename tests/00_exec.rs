//! Step 0: a command runs below the runtime as it does without it. It has the same exit
//! code, arguments, signals and terminal, and a clean environment.

use kiste_tests::{Fixture, step};

fn fixture() -> Fixture {
    Fixture::of(step!("00-exec"), &[]).expect("step 0 needs nothing")
}

#[path = "00_exec/arguments.rs"]
mod arguments;
#[path = "00_exec/beginnings.rs"]
mod beginnings;
#[path = "00_exec/ends.rs"]
mod ends;
#[path = "00_exec/signals.rs"]
mod signals;
#[path = "00_exec/step_by_step.rs"]
mod step_by_step;
#[path = "00_exec/surroundings.rs"]
mod surroundings;
#[path = "00_exec/terminal.rs"]
mod terminal;
#[path = "00_exec/words.rs"]
mod words;

#[test]
fn every_test_that_a_task_names_exists() {
    kiste_tests::tasks::assert_all_tests_exist(&kiste_tests::step!("00-exec"));
}
