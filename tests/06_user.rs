//! Step 6: root inside is nobody special outside, and an ordinary user starts a
//! container.
//!
//! Most tests run as root and make a user of their own, once with ids that are lent to
//! it and once without (`kiste_tests::User`); what anybody can do is tested also as
//! whoever runs the tests.

use kiste_tests::{Bench, Step, User, step};

#[path = "06_user/account.rs"]
mod account;
#[path = "06_user/below.rs"]
mod below;
#[path = "06_user/delegated.rs"]
mod delegated;
#[path = "06_user/doctor.rs"]
mod doctor;
#[path = "06_user/explain.rs"]
mod explain;
#[path = "06_user/hostile.rs"]
mod hostile;
#[path = "06_user/kernel.rs"]
mod kernel;
#[path = "06_user/keyring.rs"]
mod keyring;
#[path = "06_user/limits.rs"]
mod limits;
#[path = "06_user/maps.rs"]
mod maps;
#[path = "06_user/options.rs"]
mod options;
#[path = "06_user/owners.rs"]
mod owners;
#[path = "06_user/root.rs"]
mod root;
#[path = "06_user/systemd.rs"]
mod systemd;
#[path = "06_user/terminal.rs"]
mod terminal;

fn this_step() -> Step {
    step!("06-user")
}

/// Root, as the steps before this one know it.
fn root() -> Option<Bench> {
    Bench::of(this_step(), &["root", "pivot-root", "user-namespace"])
}

/// Root, where the file system that the tests are on can be shown with other owners.
fn root_with_other_ids() -> Option<Bench> {
    let bench = root()?;
    let tried = bench.run(&["--userns", "auto"], &["true"]);
    (!tried.lacks_idmapped_mounts()).then_some(bench)
}

/// Whoever is not root: the one who runs the tests, or one to whom nothing is lent.
fn anybody() -> Option<User> {
    User::any(this_step(), &["pivot-root", "user-namespace"])
}

/// A user to whom nothing is lent.
fn alone() -> Option<User> {
    User::alone(this_step(), &["pivot-root", "user-namespace"])
}

/// A user with 65536 subordinate ids of either kind.
fn with_ranges() -> Option<User> {
    User::with_ranges(this_step(), &["pivot-root", "user-namespace"])
}

#[test]
fn every_test_of_a_task_is_there() {
    kiste_tests::tasks::all_are_here(&kiste_tests::step!("06-user"));
}
