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

/// Runs `work` as root, or, if the caller is not root, as root of a new user namespace.
/// Only in such a namespace can an ordinary user's process create, read and remove
/// files of the user's subordinate ids. The `helpers` write the maps of the namespace.
///
/// # Errors
/// The error of `work`, and the kernel's when it refuses the namespace.
pub fn as_root(helpers: &Helpers, work: impl FnOnce() -> Result<()>) -> Result<()> {
    match geteuid().is_root() {
        true => work(),
        false => run_in_child(CloneFlags::empty(), helpers, work),
    }
}

/// Runs `work` as [`as_root`] does, always in a child, which is killed if a signal is to
/// end this process.
///
/// # Errors
/// As [`as_root`].
pub fn as_root_in_child(
    helpers: &Helpers,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    run_in_child(CloneFlags::empty(), helpers, work)
}

/// Runs `work` as [`as_root`] does, in a new mount namespace, so that no other process
/// sees its mounts.
///
/// # Errors
/// As [`as_root`].
pub fn in_mount_namespace(
    helpers: &Helpers,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    run_in_child(mount::NAMESPACE, helpers, || {
        mount::Propagation::default().isolate()?;
        work()
    })
}

fn run_in_child(
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
            // A caller who is root keeps its ids, groups and keys.
            if ids.namespace() != CloneFlags::empty() {
                ids.enter(parent)?;
            }
            work()?;
            exec::finish_child(parent)
        })?;
    match child.wait()?.code() {
        0 => Ok(()),
        code => Err(Failure::new(format_args!(
            "the process that works as root exited with {code}"
        ))
        .into()),
    }
}
