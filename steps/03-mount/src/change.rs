//! Changes of a mount that is attached, or is about to be: its propagation.

use std::os::fd::AsFd;

use anyhow::Result;
use kit::Hint;
use nix::errno::Errno;

use crate::attributes::Recursion;
use crate::detached::Detached;
use crate::mount_propagation::MountPropagation;
use crate::sys;

impl Detached {
    /// Sets the propagation of the mount: mount_setattr(2).
    ///
    /// # Errors
    /// EINVAL where the descriptor is not the root of a mount.
    #[track_caller]
    pub fn set_propagation(
        &self,
        propagation: MountPropagation,
        recursion: Recursion,
    ) -> Result<()> {
        let (flag, name) = propagation.flag();
        let rec = if recursion == Recursion::Recursive { "MS_REC|" } else { "" };
        let operands = format_args!("{}, {rec}{name}", self.name());
        kit::call("whether later mounts propagate", "mount_setattr", operands, || {
            sys::set_propagation(self.as_fd(), flag.bits(), recursion)
        })
        .hint_on(Errno::EINVAL, NO_MOUNT_POINT)
    }
}

pub(crate) const NO_MOUNT_POINT: &str = "an option such as remount or rslave without a source changes a mount that is \
     there already";
