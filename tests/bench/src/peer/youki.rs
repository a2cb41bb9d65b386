//! youki, the runtime in Rust.

use anyhow::Result;

use super::Hybrid;
use super::oci::Runtime;
use crate::session::Session;

/// Finds youki on `PATH`.
///
/// # Errors
/// When it is not installed.
pub fn find(session: &Session) -> Result<Runtime<'_>> {
    Runtime::find(session, "youki", Hybrid::Works)
}
