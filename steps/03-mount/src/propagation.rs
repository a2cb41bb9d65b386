//! Mount propagation: which mounts copy themselves to other mount namespaces. See
//! "SHARED SUBTREES" in mount_namespaces(7).

use anyhow::Result;
use kit::Hint;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

/// What propagates between the host's mounts and the container's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Propagation {
    /// Nothing, either way
    #[default]
    Private,
    /// What the host mounts later appears inside too
    Slave,
    /// Nothing with the host; but namespaces made inside share with the container
    Shared,
}

impl Propagation {
    // ANCHOR: isolate
    /// Right after the clone: from here on no mount of ours reaches the host.
    ///
    /// # Errors
    /// What the kernel says of mount(2).
    // Task 3.1: distributions mount / shared, and a clone of a namespace keeps it so.
    // Without this, mounting /proc would cover the host's.
    pub fn isolate(self) -> Result<()> {
        match self {
            Propagation::Private | Propagation::Shared => {
                change(MsFlags::MS_PRIVATE, "MS_PRIVATE")
            }
            Propagation::Slave => change(MsFlags::MS_SLAVE, "MS_SLAVE"),
        }
    }
    // ANCHOR_END: isolate

    /// Once everything is mounted: `shared` starts a peer group of its own.
    ///
    /// # Errors
    /// What the kernel says of mount(2).
    pub fn share(self) -> Result<()> {
        match self {
            Propagation::Shared => change(MsFlags::MS_SHARED, "MS_SHARED"),
            Propagation::Private | Propagation::Slave => Ok(()),
        }
    }
}

fn change(kind: MsFlags, name: &str) -> Result<()> {
    let why = match kind {
        MsFlags::MS_SLAVE => "the host's new mounts come in, and ours stay here",
        MsFlags::MS_SHARED => "namespaces made inside share what is mounted",
        _ => "what is mounted from here on stays here",
    };
    let nothing = None::<&str>;
    kit::call(why, "mount", format_args!("/, MS_REC|{name}"), || {
        mount(nothing, "/", nothing, MsFlags::MS_REC | kind, nothing)
    })
    .hint_on(
        Errno::EINVAL,
        "/ is no mount point here, as in a chroot: run outside of it",
    )
}
