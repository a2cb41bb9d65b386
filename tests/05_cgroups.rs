//! Step 5: what a container may use, what it sees of that, and what is left of it:
//! nothing.
//!
//! Every test runs on either version of cgroups, or says by its needs why it cannot.

#[path = "05_cgroups/kernel.rs"]
mod kernel;

#[path = "05_cgroups/attack.rs"]
mod attack;
#[path = "05_cgroups/closed.rs"]
mod closed;
#[path = "05_cgroups/control.rs"]
mod control;
#[path = "05_cgroups/crowd.rs"]
mod crowd;
#[path = "05_cgroups/enforced.rs"]
mod enforced;
#[path = "05_cgroups/explain.rs"]
mod explain;
#[path = "05_cgroups/garbage.rs"]
mod garbage;
#[path = "05_cgroups/gc.rs"]
mod gc;
#[path = "05_cgroups/leftovers.rs"]
mod leftovers;
#[path = "05_cgroups/limits.rs"]
mod limits;
#[path = "05_cgroups/options.rs"]
mod options;
#[path = "05_cgroups/refused.rs"]
mod refused;
#[path = "05_cgroups/start.rs"]
mod start;
#[path = "05_cgroups/told.rs"]
mod told;

use kiste_tests::{Bench, step};

/// What all tests need, on either version.
const NEEDS: [&str; 6] = [
    "root",
    "cgroup-memory",
    "cgroup-cpu",
    "cgroup-pids",
    "cgroup-cpuset",
    "cgroup-freeze",
];

fn bench() -> Option<Bench> {
    bench_with(&[])
}

/// A bench for a test that runs on one version only: `cgroup-v2`, `cgroup-v1`.
fn bench_with(needs: &[&str]) -> Option<Bench> {
    Bench::of(step!("05-cgroups"), &[&NEEDS, needs].concat())
}

#[test]
fn every_test_of_a_task_is_there() {
    kiste_tests::tasks::all_are_here(&kiste_tests::step!("05-cgroups"));
}
