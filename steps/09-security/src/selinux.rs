//! The SELinux label of the command: setexeccon(3).

use std::fmt::{self, Display};
use std::os::fd::BorrowedFd;
use std::path::Path;

use anyhow::Result;
use kit::{Failure, FailureKind, Hint};
use nix::errno::Errno;
use rustix::fs::ResolveFlags;

use crate::procfs::{open_to_write, require_procfs};

/// A label: `system_u:system_r:container_t:s0:c1,c2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelinuxLabel(String);

impl SelinuxLabel {
    /// Makes a label, unless the kernel has no SELinux: the command would run without
    /// it.
    ///
    /// # Errors
    /// When SELinux is not compiled in, or not enabled.
    pub fn new(label: &str) -> Result<Self> {
        if Path::new("/sys/fs/selinux/enforce").exists() {
            return Ok(SelinuxLabel(label.into()));
        }
        let what = format!("label {label}: SELinux is not enabled in this kernel");
        let failure = Failure::new(what).with_kind(FailureKind::Refused);
        Err(failure
            .hint("leave it out, or boot with selinux=1 security=selinux")
            .into())
    }

    /// In the child: asks the kernel to give this process the label at the next exec.
    /// `proc` is the container's own /proc, and no mount on it is crossed: the label
    /// could be written into another file (CVE-2019-16884).
    ///
    /// # Errors
    /// EINVAL when the policy has no such label.
    pub fn set_on_exec(&self, proc: BorrowedFd<'_>) -> Result<()> {
        require_procfs(proc)?;
        kit::call("the label of the command", "write", self, || {
            let links = ResolveFlags::NO_MAGICLINKS;
            let file = open_to_write(proc, "thread-self/attr/exec", links)?;
            rustix::io::write(&file, self.0.as_bytes()).map(drop)
        })
        .hint_on(Errno::EINVAL, "the policy of this host has no such label")
    }
}

impl Display for SelinuxLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
