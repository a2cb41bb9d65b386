//! Makes mount points inside a root file system.

use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Failure, Hint};
use nix::errno::Errno;
use rustix::fs::{Mode, OFlags, mkdirat};

use crate::resolve::{look, open};

/// The kind of file that a mount target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A directory, to mount a directory on.
    Directory,
    /// A file, to mount a file on.
    File,
}

/// Makes a directory, or an empty file, and the directories above it, unless it exists.
///
/// # Errors
/// When `path` has a `..`, a part of it is a file, or the file system is read-only or
/// full.
#[track_caller]
pub fn make(root: BorrowedFd<'_>, path: &Path, kind: TargetKind) -> Result<()> {
    match look(root, path) {
        Ok(_) => return Ok(()),
        Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return look_failed(path, error),
    }
    let mut above =
        root.try_clone_to_owned().context("fcntl(the root, F_DUPFD_CLOEXEC)")?;
    let mut so_far = PathBuf::from("/");
    let parts: Vec<_> =
        path.components().filter(|part| *part != Component::RootDir).collect();
    for (index, part) in parts.iter().enumerate() {
        let Component::Normal(name) = part else {
            return Err(Failure::new(format_args!(
                "{}: a target to be made has no . or ..",
                path.display()
            ))
            .into());
        };
        so_far.push(name);
        let is_last = index + 1 == parts.len();
        match look(root, &so_far) {
            Err(rustix::io::Errno::NOENT) if is_last && kind == TargetKind::File => {
                make_file(&above, name, &so_far)?
            }
            Err(rustix::io::Errno::NOENT) => make_directory(&above, name, &so_far)?,
            Err(error) => return look_failed(&so_far, error),
            Ok(_) => {}
        }
        above = open(root, &so_far).hint_on(
            Errno::ENOENT,
            format_args!("{} is a link that leads nowhere", so_far.display()),
        )?;
    }
    Ok(())
}

/// Returns the error of a look-up that failed. Any error but ENOENT does not mean that
/// the path is missing.
#[track_caller]
pub(crate) fn look_failed(path: &Path, error: rustix::io::Errno) -> Result<()> {
    kit::call("is the mount point there?", "openat2", path.display(), || Err(error))
}

#[track_caller]
pub(crate) fn make_directory(above: &OwnedFd, name: &OsStr, path: &Path) -> Result<()> {
    let made = kit::call(
        "the mount point is missing: make it",
        "mkdirat",
        path.display(),
        || {
            match mkdirat(above, name, Mode::from(0o755)) {
                // another container of this root has made it meanwhile
                Err(rustix::io::Errno::EXIST) => Ok(()),
                done => done,
            }
        },
    );
    made.hint_on(
        Errno::EROFS,
        "the root file system is read-only: make the directory in it first",
    )
}

#[track_caller]
pub(crate) fn make_file(above: &OwnedFd, name: &OsStr, path: &Path) -> Result<()> {
    // EXCL: a file that another process makes meanwhile, perhaps a FIFO, is not opened.
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let made = kit::call(
        "a file to mount on is missing: make it",
        "openat",
        path.display(),
        || {
            match rustix::fs::openat(above, name, flags, Mode::from(0o644)) {
                // another container of this root has made it meanwhile
                Err(rustix::io::Errno::EXIST) => Ok(()),
                done => done.map(drop),
            }
        },
    );
    made.hint_on(
        Errno::EROFS,
        "the root file system is read-only: make the file in it first",
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::test_root::TestRoot;

    fn make_in(root: &TestRoot, path: &str, kind: TargetKind) -> Result<()> {
        make(root.as_fd(), Path::new(path), kind)
    }

    #[test]
    fn links_that_point_out_stay_inside() {
        let root = TestRoot::new("links");
        symlink(root.outside(), root.path().join("out")).unwrap();
        symlink("../outside", root.path().join("up")).unwrap();
        for path in ["/out/made", "/up/made", "/../../x/made"] {
            make_in(&root, path, TargetKind::Directory).unwrap_err();
        }
        assert_eq!(fs::read_dir(root.outside()).unwrap().count(), 0);
        // A link that leads to a directory inside is followed there.
        fs::create_dir(root.path().join("outside")).unwrap();
        make_in(&root, "/up/made", TargetKind::Directory).unwrap();
        assert!(root.path().join("outside/made").is_dir());
        assert!(!root.outside().join("made").exists());
    }

    #[test]
    fn a_target_is_made_with_the_directories_above_it() {
        let root = TestRoot::new("make");
        make_in(&root, "/a/b/file", TargetKind::File).unwrap();
        make_in(&root, "/a/b/dir", TargetKind::Directory).unwrap();
        assert!(root.path().join("a/b/file").is_file());
        assert!(root.path().join("a/b/dir").is_dir());
    }

    #[test]
    fn a_file_that_exists_is_left_as_it_is() {
        let root = TestRoot::new("exists");
        fs::write(root.path().join("file"), "kept").unwrap();
        make_in(&root, "/file", TargetKind::File).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("file")).unwrap(), "kept");
        let error = make_in(&root, "/file/below", TargetKind::Directory).unwrap_err();
        assert_eq!(kit::errno(&error), Some(Errno::ENOTDIR));
    }

    #[test]
    fn a_file_that_another_process_makes_meanwhile_is_no_error() {
        let root = TestRoot::new("meanwhile");
        let above = root.as_fd().try_clone_to_owned().unwrap();
        fs::write(root.path().join("file"), "kept").unwrap();
        make_file(&above, "file".as_ref(), Path::new("/file")).unwrap();
        make_directory(&above, "file".as_ref(), Path::new("/file")).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("file")).unwrap(), "kept");
    }
}
