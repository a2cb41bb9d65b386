//! Makes the cgroups above the container's own when they are missing, and removes them
//! when they are empty.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::Hint;
use nix::errno::Errno;
use rustix::fs::rmdir;

/// The sticky bit marks a cgroup as made by Kiste, to be removed together with its last
/// container. The host's own cgroups have no mark, and stay when they are empty. mkdir(2)
/// makes and marks a cgroup in one call, so no killed runtime leaves one without a mark.
const MARK: u32 = 0o1000;

/// Makes and marks the missing cgroups from `top` down to `parent`.
pub(crate) fn make(parent: &Path, top: &Path) -> Result<()> {
    for cgroup in missing(parent, top) {
        match mkdir("the cgroup of all containers", &cgroup, 0o755 | MARK) {
            Ok(()) => {}
            // Another container has made it meanwhile.
            Err(error) if kit::errno(&error) == Some(Errno::EEXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

// ANCHOR: mkdir
/// Makes a cgroup.
pub(crate) fn mkdir(why: &str, cgroup: &Path, mode: u32) -> Result<()> {
    kit::call(why, "mkdir", cgroup.display(), || {
        fs::DirBuilder::new().mode(mode).create(cgroup)
    })
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
        let found = match fs::symlink_metadata(cgroup) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            found => found.with_context(|| format!("stat {}", cgroup.display()))?,
        };
        if found.mode() & MARK == 0 {
            return Ok(());
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
