//! The labels that security modules give the command at its exec.

use std::os::fd::AsFd;
use std::path::Path;

use anyhow::Result;

use crate::apparmor::AppArmorProfile;
use crate::selinux::SelinuxLabel;

/// In the child, inside the root file system: has the kernel give the next program these
/// labels.
///
/// # Errors
/// When no such profile or label is loaded.
pub fn set_labels(
    apparmor: Option<&AppArmorProfile>,
    selinux: Option<&SelinuxLabel>,
) -> Result<()> {
    if apparmor.is_none() && selinux.is_none() {
        return Ok(());
    }
    let proc = kit::call("the container's own", "open", "/proc", || {
        kit::open_directory(Path::new("/proc"))
    })?;
    let proc = proc.as_fd();
    selinux.map_or(Ok(()), |label| label.set_on_exec(proc))?;
    apparmor.map_or(Ok(()), |profile| profile.set_on_exec(proc))
}
