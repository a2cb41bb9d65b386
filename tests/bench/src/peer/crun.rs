//! crun, the runtime in C.

use anyhow::Result;

use super::Hybrid;
use super::oci::Runtime;
use crate::session::Session;

/// Finds crun on `PATH`.
///
/// # Errors
/// When it is not installed.
pub fn find(session: &Session) -> Result<Runtime<'_>> {
    // "crun: unknown cgroup mode": it supports version 1 or version 2, but not both.
    Runtime::find(session, "crun", Hybrid::Refused)
}
