//! Mount propagation: whether a mount made in one mount namespace appears in others.
//! See "SHARED SUBTREES" in mount_namespaces(7).

use anyhow::Result;
use kit::Hint;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

/// Mount propagation between the host and the container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// No mount propagates, in either direction.
    #[default]
    Private,
    /// Later mounts of the host appear in the container.
    Slave,
    /// No mount propagates between host and container. Mount namespaces made in the
    /// container share its mounts.
    Shared,
}

impl Propagation {
    // ANCHOR: isolate
    /// Makes sure that no later mount of this process appears on the host. Call it right
    /// after the clone. `shared` is separated from the host first, too: [`Self::share`]
    /// starts a peer group of its own.
    ///
    /// # Errors
    /// The kernel's, from mount(2).
    // Task 3.1: distributions make the root mount shared, and it stays shared in a new
    // mount namespace. Without this, mounting /proc would cover the host's.
    pub fn isolate(self) -> Result<()> {
        match self {
            Propagation::Private | Propagation::Shared => {
                change(MsFlags::MS_PRIVATE, "MS_PRIVATE")
            }
            Propagation::Slave => change(MsFlags::MS_SLAVE, "MS_SLAVE"),
        }
    }
    // ANCHOR_END: isolate

    /// For `shared`: starts a new peer group. Call it once everything is mounted.
    ///
    /// # Errors
    /// The kernel's, from mount(2).
    pub fn share(self) -> Result<()> {
        match self {
            Propagation::Shared => change(MsFlags::MS_SHARED, "MS_SHARED"),
            Propagation::Private | Propagation::Slave => Ok(()),
        }
    }
}

fn change(kind: MsFlags, name: &str) -> Result<()> {
    let why = match kind {
        MsFlags::MS_SLAVE => "later mounts of the host appear here, ours stay here",
        MsFlags::MS_SHARED => "a peer group of its own, for namespaces made inside",
        _ => "later mounts stay in this namespace",
    };
    let nothing = None::<&str>;
    kit::call(why, "mount", format_args!("/, MS_REC|{name}"), || {
        mount(nothing, "/", nothing, MsFlags::MS_REC | kind, nothing)
    })
    .hint_on(
        Errno::EINVAL,
        "/ is not a mount point here, as in a chroot: run outside of it",
    )
}
