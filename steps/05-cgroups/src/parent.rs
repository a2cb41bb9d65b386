//! The cgroups above the container's own: made when missing, removed when empty.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};
use kit::Hint;
use nix::errno::Errno;
use rustix::fs::{XattrFlags, getxattr, rmdir, setxattr};

/// The cgroup below which containers have theirs, relative to the top of each
/// hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent(PathBuf);

impl Parent {
    /// The path, relative to the top of each hierarchy.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for Parent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain =
            |name: &str| !name.contains('\n') && !matches!(name, "" | "." | "..");
        match text.split('/').all(plain) {
            true => Ok(Parent(text.into())),
            false => {
                Err("a cgroup is named from the top of the hierarchy, without `.`, `..` or a leading /: \
                          kiste, machine/kiste"
                    .into())
            }
        }
    }
}

/// Marks a cgroup as made by a container, which goes when its last container goes. The
/// host's own have no mark, and stay also when they are empty. Any user who may write
/// to the cgroup can set it (xattr(7), cgroup file systems hold `user.` attributes
/// since Linux 5.7).
const MARK: &str = "user.kiste";

/// Makes what is missing from `top` down to `parent`.
pub(crate) fn make(parent: &Path, top: &Path) -> Result<()> {
    for cgroup in missing(parent, top) {
        match mkdir("the cgroup of all containers", &cgroup) {
            // Without the mark nobody would ever remove it.
            Ok(()) => mark(&cgroup).inspect_err(|_| {
                let _ = rmdir(&cgroup);
            })?,
            // Another container made it in between, and marks it.
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

/// The cgroups from `top` down to `parent` that are not there yet.
pub(crate) fn missing(parent: &Path, top: &Path) -> Vec<PathBuf> {
    let below = parent
        .ancestors()
        .take_while(|cgroup| *cgroup != top && cgroup.starts_with(top));
    let mut missing: Vec<_> =
        below.take_while(|cgroup| !cgroup.exists()).map(Path::to_path_buf).collect();
    missing.reverse();
    missing
}

/// Marks `cgroup` as one that goes when it is empty.
pub(crate) fn mark(cgroup: &Path) -> Result<()> {
    kit::call(
        "a mark: made by Kiste",
        "setxattr",
        format_args!("{}, {MARK}", cgroup.display()),
        || setxattr(cgroup, MARK, b"made", XattrFlags::empty()),
    )
}

/// Removes the marked cgroups from `cgroup` up to, not including, `top`. rmdir(2)
/// refuses one that is in use, so whoever comes last removes it; one that vanishes
/// under a newcomer is made again.
///
/// # Errors
/// When the kernel does not say whose one is, or refuses to remove one that nobody
/// uses.
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
            // Most often a neighbour is still there. That is no failure, and is not
            // told as one.
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

/// Whether `path` has only plain names: no `..` that leads out of it.
pub(crate) fn is_plain(path: &Path) -> bool {
    path.components().all(|component| matches!(component, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hierarchy::tests::Fake;

    #[test]
    fn that_another_has_just_made_it_is_no_error_and_all_else_is() {
        let top = Fake::new("parent");
        top.with("", &[("file", "")]);
        let error = make(&top.0.join("file/below"), &top.0).unwrap_err();
        assert_eq!(kit::errno(&error), Some(Errno::ENOTDIR), "{error:#}");
        // A link that leads nowhere is not there when it is looked for, and is when it
        // is made.
        std::os::unix::fs::symlink("nowhere", top.0.join("link")).unwrap();
        make(&top.0.join("link"), &top.0).unwrap();
    }
}
