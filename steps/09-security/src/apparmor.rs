//! The AppArmor profile of the command: apparmor(7), aa_change_onexec(3).

use std::fmt::{self, Display};
use std::os::fd::BorrowedFd;
use std::str::FromStr;

use anyhow::Result;
use kit::{Failure, FailureKind, Hint};
use nix::errno::Errno;
use rustix::fs::ResolveFlags;

use crate::procfs::{open_to_write, require_procfs};

/// The name of a profile that is loaded into the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppArmorProfile(String);

impl AppArmorProfile {
    /// Refuses the profile on a kernel without AppArmor: the command would run without
    /// it.
    ///
    /// # Errors
    /// When AppArmor is not compiled in, or not enabled.
    pub fn check(&self) -> Result<()> {
        if is_enabled() {
            return Ok(());
        }
        let what =
            format!("AppArmor profile {self}: AppArmor is not enabled in this kernel");
        let failure = Failure::new(what).with_kind(FailureKind::Refused);
        Err(failure
            .hint(
                "leave it out, or boot with apparmor=1; `doctor` tells what is active",
            )
            .into())
    }

    /// In the child: asks the kernel to confine this process by the profile from the
    /// next exec on. `proc` is the container's own /proc, and no mount on it is crossed:
    /// the profile could be written into another file (CVE-2019-16884).
    ///
    /// # Errors
    /// ENOENT when no such profile is loaded.
    pub fn set_on_exec(&self, proc: BorrowedFd<'_>) -> Result<()> {
        require_procfs(proc)?;
        let open = |path| open_to_write(proc, path, ResolveFlags::NO_MAGICLINKS);
        kit::call("the profile of the command", "write", self, || {
            let file = match open("thread-self/attr/apparmor/exec") {
                // Linux before 5.8 has only the file that all security modules share.
                Err(rustix::io::Errno::NOENT) => open("thread-self/attr/exec"),
                opened => opened,
            }?;
            rustix::io::write(&file, format!("exec {self}").as_bytes()).map(drop)
        })
        .hint_on(
            Errno::ENOENT,
            "load the profile first: apparmor_parser(8); `aa-status` lists all",
        )
        .hint_on(Errno::EACCES, "the profile of this program does not allow the change")
    }
}

/// Whether the kernel enforces AppArmor profiles.
pub(crate) fn is_enabled() -> bool {
    let enabled = kit::read_kernel_file("/sys/module/apparmor/parameters/enabled");
    enabled.is_ok_and(|text| text.trim() == "Y")
}

impl FromStr for AppArmorProfile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("apparmor= needs the name of a profile, or unconfined".into()),
            _ if text.contains(|c: char| c.is_whitespace() || c.is_control()) => {
                Err(format!("{text:?}: a profile's name has no space"))
            }
            name => Ok(AppArmorProfile(name.into())),
        }
    }
}

impl Display for AppArmorProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_has_a_name_without_spaces() {
        for bad in ["", "a b", "a\nb"] {
            bad.parse::<AppArmorProfile>().unwrap_err();
        }
        let profile: AppArmorProfile = "docker-default".parse().unwrap();
        assert_eq!(profile.to_string(), "docker-default");
    }
}
