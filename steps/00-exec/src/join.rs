//! Entering namespaces that exist: setns(2).

use std::os::fd::OwnedFd;

use anyhow::Result;
use kit::Hint;
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

/// Namespaces that exist, and that a process is to enter.
#[derive(Debug)]
pub struct Namespace {
    /// The kinds: one for a file in /proc/PID/ns; one or several for a pidfd.
    pub kinds: CloneFlags,
    /// An open file of /proc/PID/ns, or a pidfd.
    pub descriptor: OwnedFd,
    /// The name in errors and in the narration.
    pub name: String,
}

/// Enters these namespaces. A PID or a time namespace is entered by the next child of
/// the caller: see [`crate::Spawn::through`].
///
/// A user namespace takes away the rights in namespaces that belong to another one, and
/// gives those in its own. So it comes after all that can be entered without it.
///
/// # Errors
/// The kernel's reason of setns(2).
#[track_caller]
pub fn join_all(namespaces: &[Namespace]) -> Result<()> {
    let is_user = |it: &&Namespace| it.kinds.contains(CloneFlags::CLONE_NEWUSER);
    let (users, others): (Vec<_>, Vec<_>) = namespaces.iter().partition(is_user);
    let mut refused = Vec::new();
    for namespace in others {
        match namespace.join() {
            Err(error)
                if kit::errno(&error) == Some(Errno::EPERM) && !users.is_empty() =>
            {
                refused.push(namespace);
            }
            joined => joined?,
        }
    }
    users.into_iter().chain(refused).try_for_each(Namespace::join)
}

impl Namespace {
    #[track_caller]
    fn join(&self) -> Result<()> {
        kit::call("enter it", "setns", &self.name, || {
            setns(&self.descriptor, self.kinds)
        })
        .hint_on(
            Errno::EPERM,
            "entering a namespace needs CAP_SYS_ADMIN in it: use the user who made it, or root",
        )
    }
}
