//! The root of the container: mounted, then entered with pivot_root(2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use kit::{Failure, Hint};
use mount::{Attributes, Recursion, Request};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::unistd::{chdir, fchdir, pivot_root};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::mount_defaults::make_mount_points;
use crate::rootfs::{Access, Rootfs, open_directory};
use crate::view::RootView;

/// A root file system, mounted and ready to be entered.
#[derive(Debug)]
pub struct Root {
    pub(crate) mount: OwnedFd,
    pub(crate) name: String,
}

impl Root {
    // ANCHOR: open
    /// Opens a root file system and makes a mount point in it for each of `requests`.
    ///
    /// # Errors
    /// When the directory does not exist or cannot be mounted.
    pub fn open(rootfs: &Rootfs, requests: &[Request]) -> Result<Self> {
        let directory = rootfs.open()?;
        let view = RootView::of_directory(rootfs, directory.as_fd())?;
        Root::mount(&view, &directory, rootfs.access, requests)
    }

    /// Mounts a view of a root file system on `target`, with this access.
    // Task 4.1: pivot_root(2) wants a mount point, so the directory is mounted on
    // itself.
    fn mount(
        view: &RootView,
        target: &OwnedFd,
        access: Access,
        requests: &[Request],
    ) -> Result<Self> {
        make_mount_points(view.as_fd(), requests)?;
        let mount = view.detached();
        if access == Access::ReadOnly {
            mount
                .set_attributes(Attributes::MOUNT_ATTR_RDONLY, Recursion::Recursive)?;
        }
        mount.attach(target, view.name())?;
        let mount = view
            .as_fd()
            .try_clone_to_owned()
            .context("fcntl(the root, F_DUPFD_CLOEXEC)")?;
        Ok(Root { mount, name: view.name().into() })
    }
    // ANCHOR_END: open

    /// Mounts over `/` a view that the parent has opened. Every process can reach `/`,
    /// but perhaps not the directory of the root file system.
    ///
    /// # Errors
    /// When a mount point cannot be made in it, or the kernel refuses the mount.
    pub fn from_view(
        view: &RootView,
        access: Access,
        requests: &[Request],
    ) -> Result<Self> {
        Root::mount(view, &open_directory(Path::new("/"))?, access, requests)
    }

    // ANCHOR: enter
    /// Makes the root file system `/`, and leaves no way back to the host's files.
    ///
    /// # Errors
    /// The kernel's, from pivot_root(2) and umount2(2).
    // Task 4.3: pivot_root(2), "pivot_root(".", ".")": the old root is mounted on top
    // of the new one, and is then unmounted. No directory is needed to put it in.
    pub fn enter(self) -> Result<()> {
        kit::call("enter it, for pivot_root(., .)", "fchdir", &self.name, || {
            fchdir(&self.mount)
        })?;
        kit::call("it becomes /, below the old /", "pivot_root", "., .", || {
            pivot_root(".", ".")
        })
        .hint_on(Errno::EINVAL, HINT_EINVAL)?;
        kit::call("the host's files are gone", "umount2", "., MNT_DETACH", || {
            umount2(".", MntFlags::MNT_DETACH)
        })?;
        kit::call("the working directory is inside, too", "chdir", "/", || chdir("/"))?;
        refuse_mount_above()
    }
    // ANCHOR_END: enter
}

/// Checks that nothing is above `/`. If something had been mounted over the host's
/// root, umount2(2) would have removed that mount, and the host's files would still be
/// there.
fn refuse_mount_above() -> Result<()> {
    let mount_of = |path: &str| {
        let found = statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID);
        found.map(|found| found.stx_mnt_id).with_context(|| format!("statx({path})"))
    };
    match mount_of("/")? == mount_of("/..")? {
        true => Ok(()),
        false => Err(Failure::new(
            "the host's files could still be reached above the new root",
        )
        .into()),
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }
}

const HINT_EINVAL: &str = "the kernel cannot pivot away from an initramfs (`doctor` tells), nor when the mount \
                           below is shared (--propagation)";
