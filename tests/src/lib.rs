//! The library that the tests of all steps share.
//!
//! A test begins with [`Fixture::of`]: a directory, a root file system, a run directory
//! and a cgroup parent of its own. The test runs the step's program from outside, as
//! people do, and asks the kernel whether the program did its work. When the fixture is
//! dropped, it fails if anything is left on the host.
//!
//! Environment variables:
//!
//! - `KISTE_BIN=path` tests another program with the same command line.
//! - `KISTE_CHECK=05` is set by a chapter's check: see [`tasks`].
//! - `KISTE_REQUIRE=a,b` names checks of `doctor` that must hold: a test that needs one of
//!   them fails instead of being skipped.
//! - `KISTE_SKIP_LOG=file` collects the skipped tests. `KISTE_SKIPPED` is the same for the
//!   runner, and the last line of `cargo test --workspace` is made of it.
//! - `KISTE_AXE=file` is the library `axe.min.js`, which checks the pages of the book.
//! - `KISTE_PATIENCE=seconds` is how long a program may take before it counts as hung.

pub mod archive;
mod by_hand;
mod distribution;
pub mod exchange;
pub mod explain;
mod fixture;
pub mod help;
mod holder;
pub mod host;
pub mod image;
pub mod keys;
pub mod net;
pub mod options;
mod ran;
pub mod rootfs;
mod running;
mod step;
pub mod tasks;
mod terminal;
pub mod tree;
pub mod user;

pub use distribution::Distribution;
pub use fixture::Fixture;
pub use holder::Holder;
pub use net::World;
pub use ran::Ran;
pub use running::Running;
pub use step::{Step, log_skip, report_missing, require_tool};
pub use terminal::{Terminal, pty};
pub use tree::Tree;
pub use user::User;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Finds the step's program: `step!("05-cgroups")`.
#[macro_export]
macro_rules! step {
    ($name:literal) => {
        $crate::Step::new($name, env!(concat!("CARGO_BIN_EXE_", $name)))
    };
}

/// Whether a program has hung already. The next program probably hangs for the same
/// reason, so the tests wait only a quarter as long for it.
static HAS_HUNG: AtomicBool = AtomicBool::new(false);

/// Returns how long a program may take before a test calls it hung. The virtual machine
/// is slow.
pub fn timeout() -> Duration {
    let usual = if std::env::var_os("KISTE_VM").is_some() { 240 } else { 30 };
    let asked =
        std::env::var("KISTE_PATIENCE").ok().and_then(|seconds| seconds.parse().ok());
    let full = Duration::from_secs(asked.unwrap_or(usual));
    if HAS_HUNG.load(Ordering::Relaxed) { full / 4 } else { full }
}

/// Remembers that a program has hung.
pub(crate) fn has_hung() {
    HAS_HUNG.store(true, Ordering::Relaxed);
}

/// Calls `done` until it returns something. None when it has taken too long.
pub fn eventually<T>(mut done: impl FnMut() -> Option<T>) -> Option<T> {
    let (start, timeout) = (Instant::now(), timeout());
    loop {
        match done() {
            None if start.elapsed() < timeout => {
                std::thread::sleep(Duration::from_millis(5))
            }
            None => {
                has_hung();
                return None;
            }
            found => return found,
        }
    }
}
