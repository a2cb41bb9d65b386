//! Step 10: an OCI runtime.

use kiste_tests::{Fixture, step};

#[path = "10_runtime/attacks.rs"]
mod attacks;
#[path = "10_runtime/conformance.rs"]
mod conformance;

/// Returns a fixture for root.
fn fixture() -> Option<Fixture> {
    Fixture::of(step!("10-runtime"), &[])
}
