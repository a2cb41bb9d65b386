//! A root file system that one process opens and another mounts: from step 6 on, the
//! one that mounts may not be able to reach it, and sees its files with other owners.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Result;
use mount::{Attributes, Detached, Reach, Request};

use crate::args::Args;
use crate::root::{Root, directory};

/// A second view of a root file system, which is mounted nowhere yet.
#[derive(Debug)]
pub struct Tree {
    pub(crate) view: Detached,
    pub(crate) name: String,
}

impl Tree {
    /// Opens the root file system that was asked for.
    ///
    /// # Errors
    /// When the directory is not there.
    pub fn open(args: &Args) -> Result<Self> {
        Tree::of(args, &directory(&args.rootfs)?)
    }

    pub(crate) fn of(args: &Args, place: &OwnedFd) -> Result<Self> {
        let name = args.rootfs.display().to_string();
        Ok(Tree {
            view: Detached::bind_descriptor(place.as_fd(), &name, Reach::Recursive)?,
            name,
        })
    }

    /// One that is there as a mount already; errors call it by this name.
    pub fn new(view: Detached, name: String) -> Self {
        Tree { view, name }
    }

    /// The view, which may be shown with other owners ([`Detached::map_owners`]).
    pub fn view(&self) -> &Detached {
        &self.view
    }

    /// Makes its device nodes files that nobody can open.
    ///
    /// # Errors
    /// What the kernel says of mount_setattr(2).
    pub fn forbid_devices(&self) -> Result<()> {
        self.view.set(Attributes::MOUNT_ATTR_NODEV, Reach::Recursive)
    }

    /// Mounts it over `/`, which every process can reach.
    ///
    /// # Errors
    /// What the kernel says of the mount.
    pub fn mount(&self, args: &Args, requests: &[Request]) -> Result<Root> {
        Root::mount(self, &directory(Path::new("/"))?, args, requests)
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.view.as_fd()
    }
}
