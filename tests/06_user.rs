//! Step 6: root inside is an ordinary user outside, and an ordinary user can start a
//! container.
//!
//! Most tests run as root, and make their own user, with or without subordinate ids
//! (`kiste_tests::User`). Some tests use the user that runs them, unless that is root.

use std::os::unix::fs::PermissionsExt;

use kiste_tests::{Fixture, Step, User, step};

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
#[path = "06_user/exposed.rs"]
mod exposed;
#[path = "06_user/hostile.rs"]
mod hostile;
#[path = "06_user/interrupted.rs"]
mod interrupted;
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
#[path = "06_user/outlives.rs"]
mod outlives;
#[path = "06_user/overwrite.rs"]
mod overwrite;
#[path = "06_user/owners.rs"]
mod owners;
#[path = "06_user/root.rs"]
mod root;
#[path = "06_user/streams.rs"]
mod streams;
#[path = "06_user/systemd.rs"]
mod systemd;
#[path = "06_user/terminal.rs"]
mod terminal;
#[path = "06_user/volumes.rs"]
mod volumes;

fn this_step() -> Step {
    step!("06-user")
}

/// Returns a fixture for root, as in the steps before this one.
fn root() -> Option<Fixture> {
    Fixture::of(this_step(), &["root", "pivot-root", "user-namespace"])
}

/// Returns a fixture for root on a file system that supports idmapped mounts, as
/// `--userns auto` needs them.
fn root_with_idmapped_mounts() -> Option<Fixture> {
    let fixture = root()?;
    // As root is advised: no other user can reach the files of the container.
    let closed = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(fixture.dir(), closed).unwrap();
    let tried = fixture.run(&["--userns", "auto"], &["true"]);
    (!tried.lacks_idmapped_mounts()).then_some(fixture)
}

/// Returns the user that runs the tests. If that is root, returns a user without
/// subordinate ids.
fn any_user() -> Option<User> {
    User::any(this_step(), &["pivot-root", "user-namespace"])
}

/// Returns a user without subordinate ids.
fn without_ranges() -> Option<User> {
    User::without_ranges(this_step(), &["pivot-root", "user-namespace"])
}

/// Returns a user with 65536 subordinate user ids and group ids.
fn with_ranges() -> Option<User> {
    User::with_ranges(this_step(), &["pivot-root", "user-namespace"])
}

#[test]
fn every_test_that_a_task_names_exists() {
    kiste_tests::tasks::assert_all_tests_exist(&kiste_tests::step!("06-user"));
}
