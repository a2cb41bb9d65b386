//! The check that no other user can put another directory in the place of one of ours.
//!
//! A path is looked up again for each call. A user who owns a directory on the path, or
//! can write to it, could exchange what is below it between two calls. Root would then
//! write or remove files that this user chooses.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::failure::Failure;

/// The maximum number of symbolic links to follow, as in the kernel:
/// path_resolution(7).
const MAX_LINKS: usize = 40;

/// Refuses a path that another user could make lead to another directory: every
/// directory above it, and every symbolic link on the way, must belong to root or to
/// this process's user, and others must not be able to write to the directories. In a
/// directory with the sticky bit, such as /tmp, they cannot exchange the entries of
/// others.
///
/// The path itself need not exist. Its own owner is left to [`crate::ensure_private`].
///
/// # Errors
/// Names the directory or link, and its owner or mode.
pub fn refuse_exchangeable(path: &Path) -> Result<()> {
    let absolute = std::path::absolute(path)
        .with_context(|| format!("the absolute path of {}", path.display()))?;
    let mut walk = Walk::start(path)?;
    let mut parts = split(&absolute);
    let mut links = 0;
    while let Some(part) = parts.pop() {
        walk.check_directory()?;
        match walk.enter(&part)? {
            Entered::Directory => {}
            Entered::Nothing => return Ok(()),
            Entered::Link(target) if links < MAX_LINKS => {
                links += 1;
                if target.is_absolute() {
                    walk.go_to_root()?;
                }
                parts.extend(split(&target));
            }
            Entered::Link(_) => {
                let what = format!("{}: a loop of symbolic links", path.display());
                return Err(Failure::new(what).into());
            }
        }
    }
    Ok(())
}

/// Splits a path into its parts, the last one first.
fn split(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter(|part| part.as_os_str() != "/");
    parts.rev().map(|part| part.as_os_str().to_owned()).collect()
}

/// A walk down a path, from one open directory to the next.
struct Walk<'a> {
    /// The path that is checked.
    path: &'a Path,
    /// The users who may own a directory on the path.
    trusted: [u32; 3],
    directory: OwnedFd,
    /// The path of `directory`.
    at: PathBuf,
}

/// The file that a part of a path leads to.
enum Entered {
    Directory,
    /// A symbolic link with this target.
    Link(PathBuf),
    /// No file, or one that is no directory. A later call fails, and says why.
    Nothing,
}

impl<'a> Walk<'a> {
    fn start(path: &'a Path) -> Result<Self> {
        let directory = open(CWD, "/".as_ref()).context("open /")?;
        // In a user namespace without root, / belongs to an id that is not mapped:
        // user_namespaces(7), "Unmapped user and group IDs".
        let of_root = fstat(&directory).context("stat /")?.st_uid;
        let trusted = [0, geteuid().as_raw(), of_root];
        Ok(Walk { path, trusted, directory, at: "/".into() })
    }

    fn go_to_root(&mut self) -> Result<()> {
        self.directory = open(CWD, "/".as_ref()).context("open /")?;
        self.at = "/".into();
        Ok(())
    }

    fn enter(&mut self, part: &OsString) -> Result<Entered> {
        let at = self.at.join(part);
        let file = match open(self.directory.as_fd(), part) {
            // The caller's own call gets the same error, and has a hint for it.
            Err(Errno::NOENT | Errno::ACCESS) => return Ok(Entered::Nothing),
            file => file.with_context(|| format!("open {}", at.display()))?,
        };
        let found = fstat(&file).with_context(|| format!("stat {}", at.display()))?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => {
                (self.directory, self.at) = (file, at);
                Ok(Entered::Directory)
            }
            FileType::Symlink => {
                self.check_owner(&at, &found)?;
                let target = readlinkat(&file, "", Vec::new())
                    .with_context(|| format!("readlink {}", at.display()))?;
                Ok(Entered::Link(OsString::from_vec(target.into_bytes()).into()))
            }
            _ => Ok(Entered::Nothing),
        }
    }

    /// Checks that no other user can exchange the entries of the present directory.
    fn check_directory(&self) -> Result<()> {
        let at = &self.at;
        let found =
            fstat(&self.directory).with_context(|| format!("stat {}", at.display()))?;
        self.check_owner(at, &found)?;
        let mode = Mode::from_raw_mode(found.st_mode);
        // The group of the owner's own number is the owner's alone: useradd(8),
        // USERGROUPS_ENAB.
        let is_shared = mode.contains(Mode::WOTH)
            || mode.contains(Mode::WGRP) && found.st_gid != found.st_uid;
        if is_shared && !mode.contains(Mode::SVTX) {
            let mode = mode.as_raw_mode() & 0o7777;
            let (path, at) = (self.path.display(), at.display());
            let what = format!(
                "{path}: others can write to {at} (mode {mode:04o}), and so exchange it"
            );
            return Err(Failure::new(what).into());
        }
        Ok(())
    }

    fn check_owner(&self, at: &Path, found: &Stat) -> Result<()> {
        if self.trusted.contains(&found.st_uid) {
            return Ok(());
        }
        let (path, at, owner) = (self.path.display(), at.display(), found.st_uid);
        let what =
            format!("{path}: {at} belongs to uid {owner}, who could exchange it");
        Err(Failure::new(what).into())
    }
}

fn open(directory: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, DirBuilder, Permissions};
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt, lchown, symlink};

    use super::*;

    /// Makes `mine` and `shared/below` in a directory of this user's, and in `shared`
    /// the link `mine`.
    fn scratch() -> tempfile::TempDir {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        for name in ["mine", "shared", "shared/below"] {
            DirBuilder::new().mode(0o700).create(path(name)).unwrap();
        }
        symlink(path("mine"), path("shared/mine")).unwrap();
        scratch
    }

    fn refusal(path: &Path) -> String {
        refuse_exchangeable(path).unwrap_err().to_string()
    }

    #[test]
    fn directories_of_ours_and_links_to_them_are_accepted_whether_or_not_they_exist() {
        let scratch = scratch();
        for name in [
            "mine",
            "mine/new/newer",
            "shared/mine",
            "shared/mine/../shared/below",
            "shared/./below/",
            "none/../mine",
            "",
        ] {
            refuse_exchangeable(&scratch.path().join(name)).unwrap();
        }
        refuse_exchangeable(Path::new("/")).unwrap();
        refuse_exchangeable(Path::new("relative/../path")).unwrap_or_else(|error| {
            assert!(error.to_string().contains("belongs to uid"), "{error}");
        });
        symlink("loop", scratch.path().join("loop")).unwrap();
        let error = refusal(&scratch.path().join("loop/x"));
        assert!(error.contains("a loop of symbolic links"), "{error}");
    }

    #[test]
    fn a_parent_that_others_can_write_to_is_refused_unless_it_is_sticky() {
        let scratch = scratch();
        let shared = scratch.path().join("shared");
        for (mode, is_refused) in
            [(0o777, true), (0o702, true), (0o1777, false), (0o755, false)]
        {
            fs::set_permissions(&shared, Permissions::from_mode(mode)).unwrap();
            for name in ["below", "new", "mine/new"] {
                let done = refuse_exchangeable(&shared.join(name));
                assert_eq!(done.is_err(), is_refused, "{mode:o} {name}");
            }
            refuse_exchangeable(&shared).unwrap();
        }
    }

    #[test]
    fn a_group_that_can_write_is_refused_unless_it_is_the_owners_own() {
        if !geteuid().is_root() {
            return;
        }
        let scratch = scratch();
        let shared = scratch.path().join("shared");
        fs::set_permissions(&shared, Permissions::from_mode(0o770)).unwrap();
        refuse_exchangeable(&shared.join("below")).unwrap();
        lchown(&shared, None, Some(50)).unwrap();
        fs::set_permissions(&shared, Permissions::from_mode(0o770)).unwrap();
        let error = refusal(&shared.join("below"));
        assert!(error.contains("others can write to"), "{error}");
    }

    #[test]
    fn a_parent_or_a_link_of_another_user_is_refused() {
        if !geteuid().is_root() {
            return;
        }
        let scratch = scratch();
        let shared = scratch.path().join("shared");
        lchown(&shared, Some(59_711), None).unwrap();
        refuse_exchangeable(&shared).unwrap();
        for name in ["below", "new", "mine"] {
            let error = refusal(&shared.join(name));
            assert!(error.contains("belongs to uid 59711"), "{error}");
        }
        lchown(&shared, Some(0), None).unwrap();
        fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
        lchown(shared.join("mine"), Some(59_711), None).unwrap();
        for name in ["mine", "mine/new"] {
            let error = refusal(&shared.join(name));
            assert!(error.contains("shared/mine belongs to uid 59711"), "{error}");
        }
    }
}
