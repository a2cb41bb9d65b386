//! The rights of the command, and the order in which a process gives up all others.

use anyhow::Result;
use rustix::thread;

use crate::capabilities::{Capabilities, keep_capabilities};

/// The rights that the command has.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    /// Its capabilities.
    pub capabilities: Capabilities,
    /// Whether an exec can give it more rights.
    pub no_new_privs: NoNewPrivs,
}

/// Whether a set-user-ID program, or one with file capabilities, has its effect:
/// prctl(2), PR_SET_NO_NEW_PRIVS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoNewPrivs {
    /// It has.
    #[default]
    Unset,
    /// It has not, for the command and all its descendants.
    Set,
}

// ANCHOR: confine
impl Confinement {
    /// In the child, before it becomes another user: limits what an exec can ever give,
    /// and keeps the capabilities over the change.
    ///
    /// # Errors
    /// EPERM when the caller has no CAP_SETPCAP.
    pub fn before_user_change(&self) -> Result<()> {
        self.capabilities.drop_bounding_set()?;
        keep_capabilities()
    }

    /// In the child, as the command's user: gives up all capabilities but the command's
    /// own. The program is then found with the rights of the command.
    ///
    /// # Errors
    /// The kernel's, from capset(2).
    pub fn after_user_change(&self) -> Result<()> {
        self.capabilities.set("the command's rights")
    }

    /// The last calls before the exec: nothing that follows can give a right back.
    ///
    /// seccomp(2): a filter needs either no_new_privs or CAP_SYS_ADMIN, so it is loaded
    /// after the one, or before the other is given up.
    ///
    /// # Errors
    /// The kernel's, from prctl(2), seccomp(2) and capset(2).
    pub fn confine(&self) -> Result<()> {
        if self.no_new_privs == NoNewPrivs::Set {
            set_no_new_privs()?;
        }
        Ok(())
    }
}
// ANCHOR_END: confine

fn set_no_new_privs() -> Result<()> {
    let why = "no program gives it more rights";
    kit::call(why, "prctl", "PR_SET_NO_NEW_PRIVS, 1", || thread::set_no_new_privs(true))
}
