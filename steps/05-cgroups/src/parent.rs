//! Makes the cgroups above the container's own when they are missing, and removes them
//! when they are empty.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::Hint;
use nix::errno::Errno;
use rustix::fs::{XattrFlags, getxattr, rmdir, setxattr};

/// The attribute that marks a cgroup as made by Kiste, to be removed together with its
/// last container. The host's own cgroups have no mark, and stay when they are empty.
/// Users who may write to the cgroup can set it: cgroup file systems have `user.`
/// attributes since Linux 5.7 (xattr(7)).
const MARK: &str = "user.kiste";

/// Makes and marks the missing cgroups from `top` down to `parent`.
pub(crate) fn make(parent: &Path, top: &Path) -> Result<()> {
    for cgroup in missing(parent, top) {
        match mkdir("the cgroup of all containers", &cgroup) {
            // If the mark fails, the cgroup is removed: without it nobody would do so.
            Ok(()) => mark(&cgroup).inspect_err(|_| {
                let _ = rmdir(&cgroup);
            })?,
            // Another container has made it meanwhile, and marks it.
            Err(error) if kit::errno(&error) == Some(Errno::EEXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

// ANCHOR: mkdir
/// Makes a cgroup.
pub(crate) fn mkdir(why: &str, cgroup: &Path) -> Result<()> {
    kit::call(why, "mkdir", cgroup.display(), || fs::create_dir(cgroup))
        .hint_on(
            Errno::EROFS,
            "cgroups are read-only here: run on the host, or in a privileged container",
        )
        .hint_on(Errno::EACCES, "these cgroups belong to root: use sudo")
}
// ANCHOR_END: mkdir

/// Returns the cgroups from `top` down to `parent` that do not exist yet.
pub(crate) fn missing(parent: &Path, top: &Path) -> Vec<PathBuf> {
    let candidates = parent
        .ancestors()
        .take_while(|cgroup| *cgroup != top && cgroup.starts_with(top));
    let mut missing: Vec<_> = candidates
        .take_while(|cgroup| !cgroup.exists())
        .map(Path::to_path_buf)
        .collect();
    missing.reverse();
    missing
}

/// Marks a cgroup as one that is removed when it is empty.
pub(crate) fn mark(cgroup: &Path) -> Result<()> {
    kit::call(
        "a mark: made by Kiste",
        "setxattr",
        format_args!("{}, {MARK}", cgroup.display()),
        || setxattr(cgroup, MARK, b"made", XattrFlags::empty()),
    )
}

/// Removes the marked cgroups from `cgroup` up to `top`, which stays. rmdir(2) refuses
/// a cgroup that is in use, so the last container removes it. A container that needs
/// the cgroup at that moment makes it again.
///
/// # Errors
/// When the kernel does not tell whether a cgroup is marked, or refuses to remove one
/// that nobody uses.
pub(crate) fn remove_unused(cgroup: &Path, top: &Path) -> Result<()> {
    use rustix::io::Errno;
    for cgroup in cgroup
        .ancestors()
        .take_while(|cgroup| *cgroup != top && cgroup.starts_with(top))
    {
        match getxattr(cgroup, MARK, &mut [0u8; 16][..]) {
            Ok(_) => {}
            Err(Errno::NOENT) => continue,
            Err(Errno::NODATA) => return Ok(()),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("getxattr({})", cgroup.display()));
            }
        }
        match rmdir(cgroup) {
            // Most often another container is still in it. This is no failure,
            // so `--explain` does not show the call.
            Err(Errno::BUSY | Errno::NOTEMPTY | Errno::NOENT) => return Ok(()),
            removed => kit::call(
                "the last container in it has gone",
                "rmdir",
                cgroup.display(),
                || removed,
            )?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHierarchy;

    #[test]
    fn make_accepts_a_parent_that_exists_and_returns_other_errors() {
        let top = FakeHierarchy::new("parent");
        top.make_cgroup("", &[("file", "")]);
        let error = make(&top.path().join("file/below"), top.path()).unwrap_err();
        assert_eq!(kit::errno(&error), Some(Errno::ENOTDIR), "{error:#}");
        // For stat(2) a dangling link does not exist, for mkdir(2) it does.
        std::os::unix::fs::symlink("nowhere", top.path().join("link")).unwrap();
        make(&top.path().join("link"), top.path()).unwrap();
    }
}
