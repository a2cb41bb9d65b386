//! A root file system that one process opens and another process mounts. From step 6
//! on, the child that mounts it might be unable to reach the directory, and sees its
//! files with other owners.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Result;
use mount::{Attributes, Detached, Recursion};

use crate::rootfs::Rootfs;

/// A detached mount of a root file system: not attached anywhere yet.
#[derive(Debug)]
pub struct RootView {
    mount: Detached,
    name: String,
    /// The directory that it shows, if a mount on it is to be made.
    directory: Option<OwnedFd>,
}

impl RootView {
    /// In the parent: makes a detached mount of the directory.
    ///
    /// # Errors
    /// When the directory does not exist.
    pub fn open(rootfs: &Rootfs) -> Result<Self> {
        let view = RootView::open_in_child(rootfs)?;
        view.mount.make_private()?;
        Ok(view)
    }

    /// In the child, once its mounts are isolated: makes a detached mount of the
    /// directory.
    ///
    /// # Errors
    /// When the directory does not exist.
    pub fn open_in_child(rootfs: &Rootfs) -> Result<Self> {
        let directory = rootfs.open()?;
        let view = RootView::of_directory(rootfs, directory.as_fd())?;
        Ok(RootView { directory: Some(directory), ..view })
    }

    pub(crate) fn of_directory(
        rootfs: &Rootfs,
        directory: BorrowedFd<'_>,
    ) -> Result<Self> {
        let name = rootfs.path.display().to_string();
        let mount = Detached::bind_descriptor(directory, &name, Recursion::Recursive)?;
        Ok(RootView { mount, name, directory: None })
    }

    /// Wraps a detached mount that the caller has made. Errors call it `name`.
    pub fn new(mount: Detached, name: String) -> Self {
        RootView { mount, name, directory: None }
    }

    /// The detached mount, whose owners [`Detached::map_owners`] can map.
    pub fn detached(&self) -> &Detached {
        &self.mount
    }

    /// The directory that [`RootView::open_in_child`] has opened.
    pub(crate) fn directory(&self) -> Option<&OwnedFd> {
        self.directory.as_ref()
    }

    /// The name of the view in errors.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Makes the device nodes of the root file system unusable (`nodev`).
    ///
    /// # Errors
    /// The kernel's, from mount_setattr(2).
    pub fn forbid_devices(&self) -> Result<()> {
        self.mount.set_attributes(Attributes::MOUNT_ATTR_NODEV, Recursion::Recursive)
    }
}

impl AsFd for RootView {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }
}
