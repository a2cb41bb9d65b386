//! Hides a starting process from other processes: CVE-2016-9962.

use kit::Result;
use nix::sys::prctl;

/// Makes this process not dumpable. Until its exec, another process of the same user
/// could otherwise trace it, or open the descriptors of the host that it still has. The
/// exec ends this, and so does a change of ids if fs.suid_dumpable is not 0: prctl(2),
/// PR_SET_DUMPABLE.
///
/// # Errors
/// The kernel's reason.
pub(crate) fn hide_until_exec() -> Result<()> {
    if prctl::get_dumpable() == Ok(false) {
        return Ok(());
    }
    kit::call("no other process may trace us", "prctl", "PR_SET_DUMPABLE, 0", || {
        prctl::set_dumpable(false)
    })
}
