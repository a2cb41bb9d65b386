//! Step 2: the container has its own PID namespace. PID 1 is the command, or an init
//! that does the duties of PID 1. When PID 1 or the runtime ends, all processes of the
//! container end.

use kiste_tests::{Fixture, step};

fn fixture() -> Option<Fixture> {
    Fixture::of(step!("02-pid"), &["root"])
}

#[path = "02_pid/init.rs"]
mod init;
#[path = "02_pid/many.rs"]
mod many;
#[path = "02_pid/namespaces.rs"]
mod namespaces;
#[path = "02_pid/signals.rs"]
mod signals;
#[path = "02_pid/terminal.rs"]
mod terminal;

#[test]
fn every_test_that_a_task_names_exists() {
    kiste_tests::tasks::assert_all_tests_exist(&kiste_tests::step!("02-pid"));
}
