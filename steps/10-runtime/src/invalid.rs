//! The error for an invalid value in config.json.

use kit::{Failure, FailureKind};

/// Makes the error for an invalid value in config.json.
pub(crate) fn invalid(what: impl std::fmt::Display) -> anyhow::Error {
    Failure::new(what).with_kind(FailureKind::Usage).into()
}
