//! runc, the reference, in Go.

use anyhow::Result;

use super::Hybrid;
use super::oci::Runtime;
use crate::session::Session;

/// Finds runc on `PATH`.
///
/// # Errors
/// When it is not installed.
pub fn find(session: &Session) -> Result<Runtime<'_>> {
    Runtime::find(session, "runc", Hybrid::Works)
}
