//! Work on files of many owners, without a container: as root, or as root of a user
//! namespace.

use anyhow::Result;
use exec::{CloneFlags, Job, Spawn};
use kit::Failure;
use nix::unistd::geteuid;

use crate::account::Account;
use crate::helpers::Helpers;
use crate::namespace::Ids;
use crate::plan;

/// Does this work as root. Another caller does it as root of a new user namespace: only
/// there can a process make, read and remove files of the caller's subordinate ids. The
/// `helpers` write its maps.
///
/// # Errors
/// The error of the work, and the kernel's when it refuses the namespace.
pub fn as_root(helpers: &Helpers, work: impl FnOnce() -> Result<()>) -> Result<()> {
    match geteuid().is_root() {
        true => work(),
        false => in_process(CloneFlags::empty(), helpers, work),
    }
}

/// Does this work as root, in a new mount namespace, so that no other process sees its
/// mounts.
///
/// # Errors
/// As [`as_root`].
pub fn in_mount_namespace(
    helpers: &Helpers,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    in_process(mount::NAMESPACE, helpers, || {
        mount::Propagation::default().isolate()?;
        work()
    })
}

fn in_process(
    namespaces: CloneFlags,
    helpers: &Helpers,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let ids = match geteuid().is_root() {
        true => Ids::of_host(),
        false => plan::of_caller(Account::of_id(0, 0), helpers)?.0,
    };
    let child = Spawn::new(ids.namespace() | namespaces)
        .job(Job::Inherited)
        .before_start(|child| ids.write(child, []))
        .spawn(|parent| {
            // Root stays as it is, with the caller's groups and keys.
            if ids.namespace() != CloneFlags::empty() {
                ids.enter(parent)?;
            }
            work()?;
            exec::finish(parent)
        })?;
    match child.wait()?.code() {
        0 => Ok(()),
        code => Err(Failure::new(format_args!(
            "the process that works as root exited with {code}"
        ))
        .into()),
    }
}
