//! Makes mount points inside a root file system.

use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Failure, Hint};
use nix::errno::Errno;
use rustix::fs::{FileType, Mode, OFlags, fstat, mkdirat, readlinkat};

use crate::resolve::{open_silently, open_silently_nofollow};

/// The kind of file that a mount target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A directory, to mount a directory on.
    Directory,
    /// A file, to mount a file on.
    File,
}

/// The maximum number of symbolic links to follow, as in the kernel:
/// path_resolution(7).
const MAX_LINKS: usize = 40;

/// Makes a directory, or an empty file, and the directories above it, unless it exists.
/// A dangling link is followed: many images have a link to a file that exists only on a
/// running system. The file is made at the target of the link, inside `root`.
///
/// # Errors
/// When `path` has a `..`, a part of it is a file, its links form a loop, or the file
/// system is read-only or full.
#[track_caller]
pub fn make(root: BorrowedFd<'_>, path: &Path, kind: TargetKind) -> Result<()> {
    if open_silently(root, path).is_ok() {
        return Ok(());
    }
    if path.components().any(|part| part == Component::ParentDir) {
        let path = path.display();
        let what = format_args!("{path}: a target to be made has no . or ..");
        return Err(Failure::new(what).into());
    }
    let mut path = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match make_or_follow(root, &path, kind)? {
            Some(leads_to) => path = leads_to,
            None => return Ok(()),
        }
    }
    Err(Failure::new(format_args!("{}: a loop of symbolic links", path.display()))
        .into())
}

/// Walks down `path` and makes the parts that are missing. At a dangling link it stops,
/// and returns the path that the link leads to.
#[track_caller]
fn make_or_follow(
    root: BorrowedFd<'_>,
    path: &Path,
    kind: TargetKind,
) -> Result<Option<PathBuf>> {
    let mut so_far = PathBuf::from("/");
    let mut parts =
        path.components().filter(|part| *part != Component::RootDir).peekable();
    while let Some(part) = parts.next() {
        let above = so_far.clone();
        so_far.push(part);
        match open_silently(root, &so_far) {
            Ok(_) => continue,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP) => {}
            Err(error) => lookup_failed(&so_far, error)?,
        }
        match open_silently_nofollow(root, &so_far) {
            // Another start has made it in between.
            Ok(made) if !is_link(&made)? => continue,
            Ok(link) => {
                let to = readlinkat(link, "", Vec::new())
                    .with_context(|| format!("readlink {}", so_far.display()))?;
                let to = above.join(OsStr::from_bytes(to.as_bytes()));
                return Ok(Some(parts.fold(to, |path, part| path.join(part))));
            }
            Err(rustix::io::Errno::NOENT) => {
                let is_last = parts.peek().is_none();
                let kind = if is_last { kind } else { TargetKind::Directory };
                make_part(root, &above, &so_far, kind)?
            }
            Err(error) => lookup_failed(&so_far, error)?,
        }
    }
    Ok(None)
}

fn is_link(file: &OwnedFd) -> Result<bool> {
    let mode = fstat(file).context("fstat(a part of a target)")?.st_mode;
    Ok(FileType::from_raw_mode(mode) == FileType::Symlink)
}

/// Makes `path`, which does not exist, in the directory `above`, which does.
#[track_caller]
fn make_part(
    root: BorrowedFd<'_>,
    above: &Path,
    path: &Path,
    kind: TargetKind,
) -> Result<()> {
    let name = path.file_name().unwrap_or_default();
    let above = open_silently(root, above)
        .with_context(|| format!("open {}", above.display()))?;
    match kind {
        TargetKind::File => make_file(&above, name, path),
        TargetKind::Directory => make_directory(&above, name, path),
    }
}

/// Returns the error of a failed openat2(2), narrated. Only ENOENT would mean that the
/// path is missing.
#[track_caller]
fn lookup_failed(path: &Path, error: rustix::io::Errno) -> Result<()> {
    kit::call("is the mount point there?", "openat2", path.display(), || Err(error))
}

#[track_caller]
fn make_directory(above: &OwnedFd, name: &OsStr, path: &Path) -> Result<()> {
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
fn make_file(above: &OwnedFd, name: &OsStr, path: &Path) -> Result<()> {
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
    fn links_that_lead_out_are_resolved_inside_the_root() {
        let root = TestRoot::new("links");
        symlink(root.outside(), root.path().join("out")).unwrap();
        symlink("../outside", root.path().join("up")).unwrap();
        make_in(&root, "/../../x/made", TargetKind::Directory).unwrap_err();
        // Both links dangle: their targets do not exist inside the root yet.
        make_in(&root, "/out/made", TargetKind::Directory).unwrap();
        make_in(&root, "/up/file", TargetKind::File).unwrap();
        let inside = root.path().join(root.outside().strip_prefix("/").unwrap());
        assert!(inside.join("made").is_dir());
        assert!(root.path().join("outside/file").is_file());
        // Now the target of `up` exists.
        make_in(&root, "/up/made", TargetKind::Directory).unwrap();
        assert!(root.path().join("outside/made").is_dir());
        assert_eq!(fs::read_dir(root.outside()).unwrap().count(), 0);
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
    fn a_dangling_link_is_followed_and_a_loop_of_links_is_refused() {
        let root = TestRoot::new("dangling");
        symlink("second", root.path().join("first")).unwrap();
        symlink("/run/file", root.path().join("second")).unwrap();
        make_in(&root, "/first", TargetKind::File).unwrap();
        assert!(root.path().join("run/file").is_file());
        symlink("x", root.path().join("y")).unwrap();
        symlink("y", root.path().join("x")).unwrap();
        for path in ["/x", "/y/below"] {
            let error = make_in(&root, path, TargetKind::Directory).unwrap_err();
            assert!(error.to_string().contains("a loop of symbolic links"), "{error}");
        }
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
