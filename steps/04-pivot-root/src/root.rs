//! What the container sees as `/`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use kit::{Failure, Hint};
use mount::{Attributes, Reach, Request};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::unistd::{chdir, fchdir, pivot_root};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, statx};

use crate::args::{Access, Args};
use crate::furnish;
use crate::tree::Tree;

/// A root file system, mounted and ready to be entered.
#[derive(Debug)]
pub struct Root {
    mount: OwnedFd,
    name: String,
}

impl Root {
    // ANCHOR: open
    /// Opens the root file system that was asked for, with a place in it for each of
    /// `requests`.
    ///
    /// # Errors
    /// When the directory is not there, or cannot be mounted.
    pub fn open(args: &Args, requests: &[Request]) -> Result<Self> {
        let place = directory(&args.rootfs)?;
        Root::mount(&Tree::of(args, &place)?, &place, args, requests)
    }

    /// Mounts the view of a directory on `place`, read-only if that was asked for.
    // Task 4.1: pivot_root(2) wants a mount point, so the directory is mounted on
    // itself.
    pub(crate) fn mount(
        tree: &Tree,
        place: &OwnedFd,
        args: &Args,
        requests: &[Request],
    ) -> Result<Self> {
        furnish::make_places(tree.as_fd(), requests)?;
        if args.access() == Access::ReadOnly {
            tree.view.set(Attributes::MOUNT_ATTR_RDONLY, Reach::Recursive)?;
        }
        tree.view.attach(place, &tree.name)?;
        let mount = tree
            .as_fd()
            .try_clone_to_owned()
            .context("fcntl(the root, F_DUPFD_CLOEXEC)")?;
        Ok(Root { mount, name: tree.name.clone() })
    }
    // ANCHOR_END: open

    // ANCHOR: enter
    /// Makes it `/`, and leaves no way back.
    ///
    /// # Errors
    /// What the kernel says of pivot_root(2) and umount2(2).
    // Task 4.4: pivot_root(2), "pivot_root(".", ".")": the old root comes to lie on the
    // new one, and is then taken off. No directory is needed to put it in.
    pub fn enter(self) -> Result<()> {
        kit::call("stand in it, for pivot_root(., .)", "fchdir", &self.name, || {
            fchdir(&self.mount)
        })?;
        kit::call("it becomes /, the old / lies on it", "pivot_root", "., .", || {
            pivot_root(".", ".")
        })
        .hint_on(Errno::EINVAL, HINT_EINVAL)?;
        kit::call("the host's files are gone", "umount2", "., MNT_DETACH", || {
            umount2(".", MntFlags::MNT_DETACH)
        })?;
        kit::call("the working directory is inside, too", "chdir", "/", || chdir("/"))?;
        refuse_what_is_above()
    }
    // ANCHOR_END: enter
}

/// Above `/` there is nothing but itself. If something had been mounted over the host's
/// root, that would have been taken off, and the host's files would still be there.
fn refuse_what_is_above() -> Result<()> {
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

pub(crate) fn directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    kit::call("what it will see as /", "open", path.display(), || {
        rustix::fs::open(path, flags, Mode::empty())
    })
    .hint_on(Errno::ENOENT, "./rootfs-fetch.sh fetches a root file system; --rootfs names another")
    .hint_on(
        Errno::ENOTDIR,
        "--rootfs names a directory; unpack an archive first: ./rootfs-fetch.sh --from FILE",
    )
}
