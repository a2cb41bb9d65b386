//! The rights of the command, and the order in which a process gives up all others.

use std::os::fd::OwnedFd;

use anyhow::Result;
use rustix::thread;

use crate::capabilities::{Capabilities, keep_capabilities};
use crate::capability_set::{Capability, CapabilitySet};
use crate::seccomp::Filter;

/// The rights that the command has.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    /// Its capabilities.
    pub capabilities: Capabilities,
    /// Whether an exec can give it more rights.
    pub no_new_privs: NoNewPrivs,
    /// The filter of its system calls.
    pub filter: Option<Filter>,
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
    /// own. The program is then found with the rights of the command. If the filter
    /// needs CAP_SYS_ADMIN, that stays permitted until the filter is loaded.
    ///
    /// # Errors
    /// The kernel's, from capset(2).
    pub fn after_user_change(&self) -> Result<()> {
        let permitted = self.capabilities.permitted | self.needed_for_filter();
        Capabilities { permitted, ..self.capabilities }.set("the command's rights")
    }

    /// Makes the last calls before the exec. Nothing can give a right back afterwards.
    ///
    /// seccomp(2): a filter needs no_new_privs or CAP_SYS_ADMIN, so it is loaded after
    /// the one, or before the other is given up.
    ///
    /// # Errors
    /// The kernel's, from prctl(2), seccomp(2) and capset(2).
    pub fn confine(&self) -> Result<()> {
        self.confine_with_listener(|_| Ok(()))
    }

    /// Does the same as [`Confinement::confine`], and passes on the descriptor of the
    /// filter's listener, if it has one.
    ///
    /// # Errors
    /// As [`Confinement::confine`], and those of `pass_on`.
    pub fn confine_with_listener(
        &self,
        pass_on: impl FnOnce(OwnedFd) -> Result<()>,
    ) -> Result<()> {
        if self.no_new_privs == NoNewPrivs::Set {
            set_no_new_privs()?;
        }
        let Some(filter) = &self.filter else { return Ok(()) };
        let needed = self.needed_for_filter();
        if !needed.is_empty() {
            let effective = self.capabilities.effective | needed;
            let permitted = self.capabilities.permitted | needed;
            Capabilities { effective, permitted, ..self.capabilities }
                .set("for the filter, without no_new_privs")?;
        }
        filter.load()?.map_or(Ok(()), pass_on)?;
        match needed.is_empty() {
            true => Ok(()),
            false => self.capabilities.set("and now the command's rights only"),
        }
    }
}
// ANCHOR_END: confine

impl Confinement {
    /// The capability that loading the filter needs and that the command does not have
    /// effective.
    fn needed_for_filter(&self) -> CapabilitySet {
        let needed = [Capability::SYS_ADMIN].into_iter().collect::<CapabilitySet>();
        match (&self.filter, self.no_new_privs) {
            (Some(_), NoNewPrivs::Unset) => {
                needed.difference(self.capabilities.effective)
            }
            _ => CapabilitySet::EMPTY,
        }
    }
}

fn set_no_new_privs() -> Result<()> {
    let why = "no program gives it more rights";
    kit::call(why, "prctl", "PR_SET_NO_NEW_PRIVS, 1", || thread::set_no_new_privs(true))
}
