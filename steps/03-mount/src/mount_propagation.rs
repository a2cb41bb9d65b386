//! The propagation of one mount, which is not that of the whole mount namespace.

use nix::mount::MsFlags;

/// The propagation of a mount: mount_namespaces(7), "SHARED SUBTREES".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountPropagation {
    /// Nothing propagates.
    Private,
    /// Mounts propagate to it, and none from it.
    Slave,
    /// Mounts propagate among its copies.
    Shared,
    /// Nothing propagates, and it cannot be the source of a bind mount.
    Unbindable,
}

impl MountPropagation {
    /// Returns its flag for mount(2) and mount_setattr(2), and the name of the flag.
    pub fn flag(self) -> (MsFlags, &'static str) {
        match self {
            MountPropagation::Private => (MsFlags::MS_PRIVATE, "MS_PRIVATE"),
            MountPropagation::Slave => (MsFlags::MS_SLAVE, "MS_SLAVE"),
            MountPropagation::Shared => (MsFlags::MS_SHARED, "MS_SHARED"),
            MountPropagation::Unbindable => (MsFlags::MS_UNBINDABLE, "MS_UNBINDABLE"),
        }
    }
}
