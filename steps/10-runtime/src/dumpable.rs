//! Hides a starting process from other processes: CVE-2016-9962.

use kit::Result;
use nix::sys::prctl;
use rustix::process::{DumpableBehavior, dumpable_behavior};

/// Makes this process not dumpable. Until its exec, another process of the same user
/// could otherwise trace it, or open the descriptors of the host that it still has. The
/// exec ends this, and so does a change of ids if fs.suid_dumpable is 1: prctl(2),
/// PR_SET_DUMPABLE.
///
/// # Errors
/// The kernel's reason.
pub(crate) fn hide_until_exec() -> Result<()> {
    // The change of ids may have made it readable only by root: that is enough.
    if dumpable_behavior().is_ok_and(|it| it != DumpableBehavior::Dumpable) {
        return Ok(());
    }
    kit::call("no other process may trace us", "prctl", "PR_SET_DUMPABLE, 0", || {
        prctl::set_dumpable(false)
    })
}
