//! The session keyring of a container: session-keyring(7).

use anyhow::Result;
use kit::Hint;
use nix::errno::Errno;

use crate::sys;

/// The session keyring of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keyring {
    /// A new one: the caller's keys stay outside.
    #[default]
    New,
    /// The keyring of the caller.
    Keep,
}

impl Keyring {
    #[track_caller]
    pub(crate) fn join(self) -> Result<()> {
        if self == Keyring::Keep {
            return Ok(());
        }
        kit::call(
            "a new keyring: the caller's keys stay outside",
            "keyctl",
            "JOIN_SESSION_KEYRING",
            sys::join_new_session_keyring,
        )
        .hint_on(
            Errno::EDQUOT,
            "as many keys as /proc/sys/kernel/keys allows: each container takes one",
        )
    }
}
