//! Paths inside a root file system. They are never used as paths on the host: a path is
//! resolved to a file descriptor as if the root were `/`, and all later calls use the
//! descriptor. See openat2(2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Result;
use kit::Hint;
use nix::errno::Errno;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

#[track_caller]
// ANCHOR: open
/// Opens a path inside `root`; symbolic links and `..` stay inside.
///
/// # Errors
/// The kernel's, from openat2(2).
// Task 3.4: opens with O_PATH (the descriptor only refers to the file), and resolves
// the path as if `root` were `/`.
pub fn open(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    kit::call(
        "looked up inside the root: no link leads out",
        "openat2",
        path.display(),
        || resolve(root, path, OFlags::PATH, ResolveFlags::IN_ROOT),
    )
}
// ANCHOR_END: open

/// Opens a directory inside `root` and refuses every symbolic link on the way. An image
/// whose /proc is a link could otherwise choose what the kernel's /proc covers
/// (CVE-2019-19921).
///
/// # Errors
/// When a part of the path is a link, and the kernel's other errors of openat2(2).
#[track_caller]
pub fn open_directory_without_links(
    root: BorrowedFd<'_>,
    path: &str,
) -> Result<OwnedFd> {
    let flags = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    // The final `.` makes anything but a directory fail with ENOTDIR.
    let directory = Path::new(path).join(".");
    kit::call("the root's own directory: no link is followed", "openat2", path, || {
        resolve(root, &directory, OFlags::PATH, flags)
    })
    .hint_on(
        Errno::ELOOP,
        format_args!("{path} of this root file system is a symbolic link: refused"),
    )
    .hint_on(
        Errno::ENOTDIR,
        format_args!("{path} of this root file system is not a directory: refused"),
    )
    .hint_on(
        Errno::ENOENT,
        format_args!("make the directory {path} in the root file system"),
    )
}

/// Opens a path as [`open`] does, without narration, for a caller that only checks
/// whether the file exists.
pub(crate) fn open_silently(
    root: BorrowedFd<'_>,
    path: &Path,
) -> rustix::io::Result<OwnedFd> {
    resolve(root, path, OFlags::PATH, ResolveFlags::IN_ROOT)
}

/// As [`open_silently`], but if the path ends in a symbolic link, opens the link itself.
pub(crate) fn open_silently_nofollow(
    root: BorrowedFd<'_>,
    path: &Path,
) -> rustix::io::Result<OwnedFd> {
    resolve(root, path, OFlags::PATH | OFlags::NOFOLLOW, ResolveFlags::IN_ROOT)
}

/// As [`open_silently`], but refuses every symbolic link on the way (ELOOP).
pub(crate) fn open_path_without_links(
    root: BorrowedFd<'_>,
    path: &Path,
) -> rustix::io::Result<OwnedFd> {
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    resolve(root, path, OFlags::PATH, how)
}

fn resolve(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    how: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    loop {
        match openat2(root.as_fd(), path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
            // openat2(2): a file was renamed while `..` was resolved. Try again.
            Err(rustix::io::Errno::AGAIN) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::test_root::TestRoot;

    #[test]
    fn a_directory_behind_a_symbolic_link_is_refused() {
        let root = TestRoot::new("own");
        fs::create_dir(root.path().join("other")).unwrap();
        let own = |path: &str| {
            open_directory_without_links(root.as_fd(), path)
                .map_err(|error| kit::errno(&error))
        };
        for (name, to) in
            [("host", "/etc"), ("inside", "/other"), ("relative", "other")]
        {
            symlink(to, root.path().join(name)).unwrap();
            assert_eq!(
                own(&format!("/{name}")).unwrap_err(),
                Some(Errno::ELOOP),
                "{name}"
            );
        }
        fs::write(root.path().join("file"), "").unwrap();
        assert_eq!(own("/file").unwrap_err(), Some(Errno::ENOTDIR));
        own("/other").unwrap();
    }
}
