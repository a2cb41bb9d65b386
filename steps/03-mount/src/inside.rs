//! Mount targets inside a root file system, and the paths that lead to them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Result;
use kit::Hint;
use nix::errno::Errno;

pub use crate::make::{TargetKind, make};
pub use crate::resolve::{open, open_directory_without_links};

use crate::reserved::refuse_reserved;
use crate::resolve::open_silently;

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
/// when it must not be covered: `/`, /sys, /dev and everything in /proc, and files in
/// /sys and /dev that a symbolic link leads to.
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
    match open_silently(root, path) {
        Err(rustix::io::Errno::NOENT) => make(root, path, TargetKind::Directory),
        _ => Ok(()),
    }
}

/// Returns the mode of the file that is at a path, if there is any.
pub(crate) fn mode(root: BorrowedFd<'_>, path: &Path) -> Option<u32> {
    let found = open_silently(root, path).and_then(rustix::fs::fstat).ok()?;
    Some(found.st_mode & 0o7777)
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
