//! The checks of this step.

use std::path::Path;

use cgroups::SessionBus;
use kit::Failure;
use kit::doctor::{Check, Verdict};
use rustix::fs::{Access, access};

/// Runs the checks of this step: `pivot-root`, `systemd`, `state`. `root` is the
/// directory with the state of the containers, and `bus` leads to systemd.
pub(crate) fn checks(root: &Path, bus: &SessionBus) -> Vec<Check> {
    vec![pivot(), cgroups::check_systemd(bus), state(root)]
}

/// A runtime has a way without pivot_root(2).
fn pivot() -> Check {
    let check = pivot_root::check_pivot();
    match check.verdict {
        Verdict::Fails => Check::missing(&check.name, check.found, "use --no-pivot"),
        _ => check,
    }
}

/// The directory with the state of the containers need not exist yet.
fn state(root: &Path) -> Check {
    let existing = root.ancestors().find(|path| path.exists()).unwrap_or(root);
    // The dot: access(2) then fails for what is no directory.
    match access(existing.join("."), Access::WRITE_OK) {
        Ok(()) => Check::ok("state", root.display()),
        Err(error) => {
            let what = format!("{}: write to {}", root.display(), existing.display());
            let error = anyhow::Error::new(error).context(what);
            let fix = "use sudo, or name a directory of your own with --root";
            Check::fails("state", Failure::of(&error), fix)
        }
    }
}
