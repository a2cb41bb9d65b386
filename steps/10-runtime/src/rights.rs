//! The rights of a process, and the order in which it gives up all others.

use std::os::fd::OwnedFd;

use kit::Result;
use security::{Capability, CapabilitySet, Confinement, NoNewPrivs};

use crate::plan::seccomp::Seccomp;

/// The rights of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rights {
    /// Its capabilities, and whether an exec can give it more.
    pub confinement: Confinement,
    /// Its filter of system calls.
    pub seccomp: Option<Seccomp>,
}

impl Rights {
    /// Returns these rights without the capabilities that the calling process does not
    /// have itself.
    ///
    /// # Errors
    /// The kernel's, from capget(2).
    pub fn granted(&self) -> Result<Self> {
        let mut granted = self.clone();
        granted.confinement.capabilities = self.confinement.capabilities.granted()?.0;
        Ok(granted)
    }

    /// Before the process becomes another user.
    ///
    /// # Errors
    /// As [`Confinement::before_user_change`].
    pub fn before_user_change(&self) -> Result<()> {
        self.confinement.before_user_change()
    }

    /// As the new user. CAP_SYS_ADMIN stays permitted if the filter still needs it.
    ///
    /// # Errors
    /// The kernel's, from capset(2).
    pub fn after_user_change(&self) -> Result<()> {
        match self.loads_by_sys_admin() {
            false => self.confinement.after_user_change(),
            true => {
                let mut capabilities = self.confinement.capabilities;
                let sys_admin = CapabilitySet::from_iter([Capability::SYS_ADMIN]);
                capabilities.permitted = capabilities.permitted.union(sys_admin);
                capabilities.set("the process's rights, and the one to load a filter")
            }
        }
    }

    /// The last calls before the exec: seccomp(2) wants no_new_privs or CAP_SYS_ADMIN,
    /// so the filter is loaded after the one, or before the other is given up.
    /// `on_load` receives the descriptor for a listener.
    ///
    /// # Errors
    /// The kernel's, from prctl(2), seccomp(2) and capset(2).
    pub fn confine(&self, on_load: &dyn Fn(OwnedFd) -> Result<()>) -> Result<()> {
        let load = || {
            let Some(seccomp) = &self.seccomp else { return Ok(()) };
            seccomp.filter.load()?.map_or(Ok(()), on_load)
        };
        if !self.loads_by_sys_admin() {
            self.confinement.confine()?;
            return load();
        }
        let mut loading = self.confinement.capabilities;
        let sys_admin = CapabilitySet::from_iter([Capability::SYS_ADMIN]);
        loading.permitted = loading.permitted.union(sys_admin);
        loading.effective = loading.effective.union(sys_admin);
        loading.set("to load the filter")?;
        load()?;
        self.confinement.after_user_change()
    }

    fn loads_by_sys_admin(&self) -> bool {
        self.seccomp.is_some() && self.confinement.no_new_privs == NoNewPrivs::Unset
    }
}
