//! The attributes of a process that outlast its exec, besides its rights.

use anyhow::Result;
use nix::unistd::Pid;

use crate::apparmor::AppArmorProfile;
use crate::label::set_labels;
use crate::oom_score_adj::OomScoreAdj;
use crate::rlimits::Rlimit;
use crate::selinux::SelinuxLabel;

/// The labels, the resource limits and the OOM score of a process.
#[derive(Clone, Debug, Default)]
pub struct ProcessAttributes {
    /// Its AppArmor profile.
    pub apparmor: Option<AppArmorProfile>,
    /// Its SELinux label.
    pub selinux: Option<SelinuxLabel>,
    /// Its resource limits.
    pub rlimits: Vec<Rlimit>,
    /// The preference of the kernel when memory runs out.
    pub oom_score_adj: Option<OomScoreAdj>,
}

impl ProcessAttributes {
    /// In the parent, while the child waits: sets what only a process outside can set.
    ///
    /// # Errors
    /// When the caller may not set it.
    pub fn prepare(&self, child: Pid) -> Result<()> {
        self.oom_score_adj.map_or(Ok(()), |score| score.set(child))?;
        self.rlimits.iter().try_for_each(|limit| limit.allow(child))
    }

    /// In the child, inside the root file system: sets the labels of the next program
    /// and the limits of this process. The child still has the caller's rights.
    ///
    /// # Errors
    /// When no such profile or label is loaded, and as [`Rlimit::set`].
    pub fn apply(&self) -> Result<()> {
        set_labels(self.apparmor.as_ref(), self.selinux.as_ref())?;
        self.rlimits.iter().try_for_each(|limit| limit.set())
    }
}
