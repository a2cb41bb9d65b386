//! Mount targets inside a root file system, and the paths that lead to them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use kit::{Failure, Hint};
use nix::errno::Errno;
use rustix::fs::{PROC_SUPER_MAGIC, fstatfs};

pub use crate::make::{TargetKind, make};
pub use crate::resolve::{open, own_directory};

use crate::resolve::open_path;

/// Whether a missing mount target is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingTarget {
    /// A missing target is an error: the root is the host's own, and nothing is made in
    /// it.
    Fail,
    /// A missing target is made, and is left there: removing a mount point would detach
    /// another container's mount on it.
    Create,
}

/// Opens a mount target inside `root`, and makes it first if `missing` says so.
///
/// # Errors
/// When the target does not exist and is not to be made, when it cannot be made, or
/// when it must not be covered: `/`, /sys, /dev and everything in /proc.
#[track_caller]
pub fn target(
    root: BorrowedFd<'_>,
    path: &Path,
    kind: TargetKind,
    missing: MissingTarget,
) -> Result<OwnedFd> {
    if missing == MissingTarget::Create {
        make(root, path, kind)?;
    }
    let target = open(root, path).hint_on(
        Errno::ENOENT,
        "a mount target must be there: make it first, or choose another",
    )?;
    refuse_reserved(root, path, target.as_fd())?;
    Ok(target)
}

/// Makes a directory if nothing exists at its path.
///
/// # Errors
/// As [`make`]. A path that cannot be looked up is no error here.
pub(crate) fn make_missing(root: BorrowedFd<'_>, path: &Path) -> Result<()> {
    match open_path(root, path) {
        Err(rustix::io::Errno::NOENT) => make(root, path, TargetKind::Directory),
        _ => Ok(()),
    }
}

/// Refuses a target that a mount must not cover. A process whose root directory is `/`
/// does not see a mount over `/`. /proc, /sys and /dev are the container's view of
/// itself, and its terminal comes from /dev: an image could have a link to one of them
/// at the target of a volume, which would then cover it.
fn refuse_reserved(
    root: BorrowedFd<'_>,
    path: &Path,
    target: BorrowedFd<'_>,
) -> Result<()> {
    let is_target = |path: &str| match open_path(root, Path::new(path)) {
        Ok(directory) => is_same(directory.as_fd(), target),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(error).with_context(|| format!("open {path}")),
    };
    let file_system =
        fstatfs(target).with_context(|| format!("fstatfs({})", path.display()))?;
    let reserved = match file_system.f_type {
        _ if is_same(root, target)? => "the root itself",
        PROC_SUPER_MAGIC => "what is in /proc",
        _ if is_target("/sys")? => "/sys",
        _ if is_target("/dev")? => "/dev",
        _ => return Ok(()),
    };
    Err(Failure::new(format_args!(
        "{}: {reserved} cannot be mounted over",
        path.display()
    ))
    .into())
}

/// Whether two descriptors refer to the same directory.
fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Result<bool> {
    let status =
        |descriptor| rustix::fs::fstat(descriptor).context("fstat(a mount target)");
    let (one, other) = (status(one)?, status(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::test_root::TestRoot;

    fn target_in(
        root: &TestRoot,
        path: &str,
        missing: MissingTarget,
    ) -> Result<OwnedFd> {
        target(root.as_fd(), Path::new(path), TargetKind::Directory, missing)
    }

    #[test]
    fn a_target_that_must_exist_is_not_made() {
        let root = TestRoot::new("missing");
        let error = target_in(&root, "/x", MissingTarget::Fail).unwrap_err();
        assert_eq!(kit::errno(&error), Some(Errno::ENOENT));
        assert!(!root.path().join("x").exists());
    }

    #[test]
    fn the_root_itself_is_refused_as_a_target() {
        let root = TestRoot::new("itself");
        symlink("/", root.path().join("link")).unwrap();
        fs::create_dir(root.path().join("dir")).unwrap();
        for path in ["/", "//", "/..", "/dir/..", "/link", "/link/link/."] {
            let error =
                target_in(&root, path, MissingTarget::Create).unwrap_err().to_string();
            assert!(
                error.contains("the root itself cannot be mounted over"),
                "{path}: {error}"
            );
        }
        target_in(&root, "/dir", MissingTarget::Create).unwrap();
    }

    #[test]
    fn dev_and_sys_are_refused_as_targets_and_so_are_links_to_them() {
        let root = TestRoot::new("reserved");
        for name in ["dev", "sys"] {
            target_in(&root, "/other", MissingTarget::Create).unwrap();
            fs::create_dir(root.path().join(name)).unwrap();
            symlink(format!("/{name}"), root.path().join(format!("to-{name}")))
                .unwrap();
            for path in [format!("/{name}"), format!("/to-{name}")] {
                let error = target_in(&root, &path, MissingTarget::Create).unwrap_err();
                let message = format!("{path}: /{name} cannot be mounted over");
                assert!(error.to_string().contains(&message), "{error}");
            }
        }
    }
}
