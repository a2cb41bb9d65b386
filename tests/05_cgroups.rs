//! Step 5: the limits of a container, its view of cgroups, and the removal of its
//! cgroup.
//!
//! Every test runs on both versions of cgroups, or its needs say why it cannot.

#[path = "05_cgroups/kernel.rs"]
mod kernel;

#[path = "05_cgroups/attack.rs"]
mod attack;
#[path = "05_cgroups/closed_stdout.rs"]
mod closed_stdout;
#[path = "05_cgroups/concurrent.rs"]
mod concurrent;
#[path = "05_cgroups/control.rs"]
mod control;
#[path = "05_cgroups/devices.rs"]
mod devices;
#[path = "05_cgroups/enforced.rs"]
mod enforced;
#[path = "05_cgroups/explain.rs"]
mod explain;
#[path = "05_cgroups/forged.rs"]
mod forged;
#[path = "05_cgroups/gc.rs"]
mod gc;
#[path = "05_cgroups/leftovers.rs"]
mod leftovers;
#[path = "05_cgroups/limits.rs"]
mod limits;
#[path = "05_cgroups/not_asked_for.rs"]
mod not_asked_for;
#[path = "05_cgroups/options.rs"]
mod options;
#[path = "05_cgroups/refused.rs"]
mod refused;
#[path = "05_cgroups/reports.rs"]
mod reports;
#[path = "05_cgroups/start.rs"]
mod start;

use kiste_tests::{Fixture, step};

/// The checks of doctor that all tests need, on both versions of cgroups.
const NEEDS: [&str; 6] = [
    "root",
    "cgroup-memory",
    "cgroup-cpu",
    "cgroup-pids",
    "cgroup-cpuset",
    "cgroup-freeze",
];

fn fixture() -> Option<Fixture> {
    fixture_with(&[])
}

/// Returns a fixture for a test with further needs: `cgroup-v2`, `cgroup-v1`.
fn fixture_with(needs: &[&str]) -> Option<Fixture> {
    Fixture::of(step!("05-cgroups"), &[&NEEDS, needs].concat())
}

#[test]
fn every_test_that_a_task_names_exists() {
    kiste_tests::tasks::assert_all_tests_exist(&kiste_tests::step!("05-cgroups"));
}
