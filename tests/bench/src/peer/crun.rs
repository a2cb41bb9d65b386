//! crun, the runtime in C.

use anyhow::Result;

use super::Hybrid;
use super::oci::Runtime;
use crate::session::Session;

/// Finds it on `PATH`.
///
/// # Errors
/// When it is not installed.
pub fn find(session: &Session) -> Result<Runtime<'_>> {
    // "crun: unknown cgroup mode": it knows version 1 and version 2, and nothing
    // between.
    Runtime::find(session, "crun", Hybrid::Refused)
}
