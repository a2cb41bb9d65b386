//! Work on files of many owners, without a container: as root, or as root of a user
//! namespace.

use anyhow::Result;
use exec::{CloneFlags, Job, Spawn};
use kit::Failure;
use nix::unistd::geteuid;

use crate::account::Account;
use crate::helper;
use crate::namespace::Ids;
use crate::plan;
use crate::subid;

/// Does this work as root. Who is not root does it as root of a user namespace of their
/// own: only there can files be made, read and removed that belong to the ids that are
/// lent to them.
///
/// # Errors
/// What the work fails at, and what the kernel says of the namespace.
pub fn as_root(work: impl FnOnce() -> Result<()>) -> Result<()> {
    if geteuid().is_root() { work() } else { in_process(CloneFlags::empty(), work) }
}

/// Does this work as root, in a mount namespace of its own: what it mounts, nobody else
/// sees.
///
/// # Errors
/// As [`as_root`].
pub fn in_mount_namespace(work: impl FnOnce() -> Result<()>) -> Result<()> {
    in_process(mount::NAMESPACE, || {
        mount::Propagation::default().isolate()?;
        work()
    })
}

fn in_process(namespaces: CloneFlags, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let ids = match geteuid().is_root() {
        true => Ids::of_host(),
        false => plan::of_caller(Account::of_id(0, 0))?.0,
    };
    let child = Spawn::new(ids.namespace() | namespaces)
        .job(Job::Inherited)
        .before_start(|child| ids.write(child, []))
        .spawn(|parent| {
            // Root has nobody to become, and keeps the caller's groups and keys.
            if ids.namespace() != CloneFlags::empty() {
                ids.enter(parent)?;
            }
            work()?;
            exec::finish(parent)
        })?;
    match child.wait()?.code() {
        0 => Ok(()),
        code => Err(Failure::new(format_args!(
            "the process that does it as root ended with {code}"
        ))
        .into()),
    }
}

/// How to get ids that images may use.
pub fn how_to_get_ids() -> String {
    helper::mend(&subid::caller())
}
