//! Step 10: an OCI runtime.

use kiste_tests::{Fixture, step};

#[path = "10_runtime/attacks.rs"]
mod attacks;
#[path = "10_runtime/conformance.rs"]
mod conformance;
#[path = "10_runtime/files.rs"]
mod files;

/// Returns a fixture for root.
fn fixture() -> Option<Fixture> {
    if !nix::unistd::geteuid().is_root() {
        kiste_tests::report_missing("root", "the tests of the runtime run as root");
        return None;
    }
    Fixture::of(step!("10-runtime"), &[])
}
