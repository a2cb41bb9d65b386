//! The root of a container whose configuration names every mount: nothing is made in it
//! that the configuration does not name.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use anyhow::{Context, Result};
use mount::inside::{self, TargetKind};
use mount::{Attributes, Detached, Recursion};

use crate::root::Root;
use crate::rootfs::open_directory;
use crate::view::RootView;

impl Root {
    /// Mounts a view of a root file system over `/`, and makes no mount points in it.
    /// Every process can reach `/`, but perhaps not the directory of the root file
    /// system. Nothing of this reaches the host: isolate the mounts first.
    ///
    /// # Errors
    /// When the kernel refuses the mount.
    pub fn of_view(view: &RootView) -> Result<Self> {
        Root::attach(view, &open_directory(Path::new("/"))?)
    }

    /// Mounts a view on the directory that it shows, where hooks expect the root of the
    /// container before pivot_root(2).
    ///
    /// # Errors
    /// When the kernel refuses the mount.
    pub fn on_its_directory(view: &RootView) -> Result<Self> {
        match view.directory() {
            Some(directory) => Root::attach(view, directory),
            None => Root::of_view(view),
        }
    }

    fn attach(view: &RootView, target: &OwnedFd) -> Result<Self> {
        view.detached().attach(target, view.name())?;
        let mount = view.as_fd().try_clone_to_owned();
        let mount = mount.context("fcntl(the root, F_DUPFD_CLOEXEC)")?;
        Ok(Root { mount, name: view.name().into() })
    }
}

/// Makes the working directory of the command inside `root`, unless it is there. In
/// /proc nothing is made: a path there may lead to a descriptor of the host.
///
/// # Errors
/// When a part of the path is no directory, or the file system is read-only or full.
pub fn make_workdir(root: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let path = Path::new("/").join(path);
    let leads_up = path.components().any(|part| part == Component::ParentDir);
    match leads_up || path.starts_with("/proc") {
        true => Ok(()),
        false => inside::make(root, &path, TargetKind::Directory),
    }
}

/// Makes `/` read-only, once the root is entered. The mounts below it stay as they are:
/// <https://github.com/opencontainers/runtime-spec/blob/main/config.md#root>
///
/// # Errors
/// The kernel's, from mount_setattr(2).
pub fn make_root_read_only() -> Result<()> {
    let root = Detached::made(open_directory(Path::new("/"))?, "/");
    root.set_attributes(Attributes::MOUNT_ATTR_RDONLY, Recursion::Alone)
}
