//! Paths inside a root file system. They are never strings on the host: a path is
//! resolved to a descriptor as if the root were `/`, and the work is done on the
//! descriptor. See openat2(2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Failure, Hint};
use nix::errno::Errno;
use rustix::fs::{
    Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, fstatfs, mkdirat, openat2,
};

/// What to do about a mount target that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Refuse: the root is the host's own, and nothing is made in it.
    MustExist,
    /// Make it, and leave it: removing a mount point would detach another container's
    /// mount on it.
    Made,
}

/// What a mount target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A directory, for a directory.
    Directory,
    /// A file, for a file.
    File,
}

#[track_caller]
// ANCHOR: open
/// Opens a path inside `root`; symbolic links and `..` stay inside.
///
/// # Errors
/// What the kernel says of openat2(2).
// Task 3.4: as a descriptor of the place (O_PATH), resolved as if `root` were /.
pub fn open(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    kit::call(
        "looked up inside the root: no link leads out",
        "openat2",
        path.display(),
        || resolve(root, path, OFlags::PATH, ResolveFlags::IN_ROOT),
    )
}
// ANCHOR_END: open

/// Opens a directory that must be the root's own: no symbolic link on the way. An image
/// whose /proc is a link could otherwise choose what the kernel's /proc covers
/// (CVE-2019-19921).
///
/// # Errors
/// When a link is on the way, and what the kernel says of openat2(2).
#[track_caller]
pub fn own_directory(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd> {
    let flags = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let directory = Path::new(path).join(".");
    kit::call("the root's own directory, reached by no link", "openat2", path, || {
        resolve(root, &directory, OFlags::PATH, flags)
    })
    .hint_on(
        Errno::ELOOP,
        format_args!("{path} of this root file system is a symbolic link: refused"),
    )
    .hint_on(
        Errno::ENOTDIR,
        format_args!("{path} of this root file system is no directory: refused"),
    )
    .hint_on(
        Errno::ENOENT,
        format_args!("make the directory {path} in the root file system"),
    )
}

/// Opens a mount target inside `root`, and makes it first where that is wanted.
///
/// # Errors
/// When it is not there and must be, cannot be made, or is one that nothing may cover:
/// `/`, what is in /proc, /sys, /dev.
#[track_caller]
pub fn target(
    root: BorrowedFd<'_>,
    path: &Path,
    kind: TargetKind,
    targets: Targets,
) -> Result<OwnedFd> {
    if targets == Targets::Made {
        make(root, path, kind)?;
    }
    let target = open(root, path).hint_on(
        Errno::ENOENT,
        "a mount target must be there: make it first, or choose another",
    )?;
    refuse_reserved(root, path, target.as_fd())?;
    Ok(target)
}

/// What is mounted over `/` shows to nobody who is in it. And /proc, /sys and /dev are
/// what the container is told of itself, and where its terminal comes from: a link of
/// an image's that leads there would choose which of it is covered by a volume.
fn refuse_reserved(
    root: BorrowedFd<'_>,
    path: &Path,
    target: BorrowedFd<'_>,
) -> Result<()> {
    let is = |own: &str| match look(root, Path::new(own)) {
        Ok(own) => is_same(own.as_fd(), target),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(error).with_context(|| format!("open {own}")),
    };
    let file_system =
        fstatfs(target).with_context(|| format!("fstatfs({})", path.display()))?;
    let reserved = match file_system.f_type {
        _ if is_same(root, target)? => "the root itself",
        PROC_SUPER_MAGIC => "what is in /proc",
        _ if is("/sys")? => "/sys",
        _ if is("/dev")? => "/dev",
        _ => return Ok(()),
    };
    Err(Failure::new(format_args!(
        "{}: {reserved} cannot be mounted over",
        path.display()
    ))
    .into())
}

/// Whether both stand for the same directory.
fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Result<bool> {
    let status = |of| rustix::fs::fstat(of).context("fstat(a mount target)");
    let (one, other) = (status(one)?, status(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// Makes a directory, or an empty file, and the directories above it, unless it is
/// there.
///
/// # Errors
/// When `path` has a `..`, a part of it is a file, or the file system is read-only or
/// full.
#[track_caller]
pub fn make(root: BorrowedFd<'_>, path: &Path, kind: TargetKind) -> Result<()> {
    match look(root, path) {
        Ok(_) => return Ok(()),
        Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return refused(path, error),
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
            Err(error) => return refused(&so_far, error),
            Ok(_) => {}
        }
        above = open(root, &so_far).hint_on(
            Errno::ENOENT,
            format_args!("{} is a link that leads nowhere", so_far.display()),
        )?;
    }
    Ok(())
}

/// What cannot be looked at may well be there.
#[track_caller]
pub(crate) fn refused(path: &Path, error: rustix::io::Errno) -> Result<()> {
    kit::call("is the mount point there?", "openat2", path.display(), || Err(error))
}

#[track_caller]
pub(crate) fn make_directory(
    above: &OwnedFd,
    name: &std::ffi::OsStr,
    path: &Path,
) -> Result<()> {
    let made = kit::call(
        "the mount point is missing: make it",
        "mkdirat",
        path.display(),
        || {
            match mkdirat(above, name, Mode::from(0o755)) {
                // another container of this root was faster
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
pub(crate) fn make_file(
    above: &OwnedFd,
    name: &std::ffi::OsStr,
    path: &Path,
) -> Result<()> {
    // EXCL: what somebody else puts there meanwhile, a FIFO perhaps, is not opened.
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let made = kit::call(
        "a file to mount on is missing: make it",
        "openat",
        path.display(),
        || {
            match rustix::fs::openat(above, name, flags, Mode::from(0o644)) {
                // another container of this root was faster
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

/// What is there, with links followed inside `root`.
pub(crate) fn look(root: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    resolve(root, path, OFlags::PATH, ResolveFlags::IN_ROOT)
}

/// What is there, or the link itself.
pub(crate) fn look_at_link(
    root: BorrowedFd<'_>,
    path: &Path,
) -> rustix::io::Result<OwnedFd> {
    resolve(root, path, OFlags::PATH | OFlags::NOFOLLOW, ResolveFlags::IN_ROOT)
}

fn resolve(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    how: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    loop {
        match openat2(root.as_fd(), path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
            // openat2(2): something was renamed while `..` was looked up; nothing is
            // wrong.
            Err(rustix::io::Errno::AGAIN) => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A root of the test's own, and what lies outside of it; dropped, both are
    /// removed.
    struct Place {
        path: PathBuf,
        root: OwnedFd,
    }

    impl Place {
        fn new(name: &str) -> Self {
            let outside = std::env::temp_dir()
                .join(format!("kiste-inside-{name}-{}", std::process::id()));
            let path = outside.join("root");
            fs::create_dir_all(&path).unwrap();
            fs::create_dir_all(outside.join("canary")).unwrap();
            Place { root: fs::File::open(&path).unwrap().into(), path }
        }

        fn canary(&self) -> PathBuf {
            self.path.with_file_name("canary")
        }

        fn make(&self, path: &str, kind: TargetKind) -> Result<()> {
            make(self.root.as_fd(), Path::new(path), kind)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(self.path.parent().unwrap());
        }
    }

    #[test]
    fn links_that_point_out_stay_inside() {
        let place = Place::new("links");
        symlink(place.canary(), place.path.join("out")).unwrap();
        symlink("../canary", place.path.join("up")).unwrap();
        for path in ["/out/made", "/up/made", "/../../x/made"] {
            place.make(path, TargetKind::Directory).unwrap_err();
        }
        assert_eq!(fs::read_dir(place.canary()).unwrap().count(), 0);
        // Where the link leads somewhere inside, that is what is meant.
        fs::create_dir(place.path.join("canary")).unwrap();
        place.make("/up/made", TargetKind::Directory).unwrap();
        assert!(
            place.path.join("canary/made").is_dir()
                && !place.canary().join("made").exists()
        );
    }

    #[test]
    fn a_target_is_made_with_the_directories_above_it() {
        let place = Place::new("make");
        place.make("/a/b/file", TargetKind::File).unwrap();
        place.make("/a/b/dir", TargetKind::Directory).unwrap();
        assert!(
            place.path.join("a/b/file").is_file()
                && place.path.join("a/b/dir").is_dir()
        );
    }

    #[test]
    fn what_is_there_is_left_as_it_is() {
        let place = Place::new("there");
        fs::write(place.path.join("file"), "kept").unwrap();
        place.make("/file", TargetKind::File).unwrap();
        assert_eq!(fs::read_to_string(place.path.join("file")).unwrap(), "kept");
        let error = place.make("/file/below", TargetKind::Directory).unwrap_err();
        assert_eq!(kit::errno(&error), Some(Errno::ENOTDIR));
    }

    #[test]
    fn a_file_made_by_another_in_the_meantime_will_do() {
        let place = Place::new("meantime");
        fs::write(place.path.join("file"), "kept").unwrap();
        make_file(&place.root, "file".as_ref(), Path::new("/file")).unwrap();
        make_directory(&place.root, "file".as_ref(), Path::new("/file")).unwrap();
        assert_eq!(fs::read_to_string(place.path.join("file")).unwrap(), "kept");
    }

    #[test]
    fn a_missing_target_of_the_hosts_is_not_made() {
        let place = Place::new("missing");
        let target = target(
            place.root.as_fd(),
            Path::new("/x"),
            TargetKind::Directory,
            Targets::MustExist,
        );
        assert_eq!(kit::errno(&target.unwrap_err()), Some(Errno::ENOENT));
        assert!(!place.path.join("x").exists());
    }

    #[test]
    fn the_root_itself_is_no_target() {
        let place = Place::new("itself");
        symlink("/", place.path.join("link")).unwrap();
        fs::create_dir(place.path.join("dir")).unwrap();
        let target = |path| {
            target(
                place.root.as_fd(),
                Path::new(path),
                TargetKind::Directory,
                Targets::Made,
            )
        };
        for path in ["/", "//", "/..", "/dir/..", "/link", "/link/link/."] {
            let error = target(path).unwrap_err().to_string();
            assert!(
                error.contains("the root itself cannot be mounted over"),
                "{path}: {error}"
            );
        }
        target("/dir").unwrap();
    }

    #[test]
    fn what_the_container_is_told_of_itself_is_no_target() {
        let place = Place::new("reserved");
        let target = |path: &str| {
            target(
                place.root.as_fd(),
                Path::new(path),
                TargetKind::Directory,
                Targets::Made,
            )
        };
        for name in ["/dev", "/sys"] {
            target("/else").unwrap();
            fs::create_dir(place.path.join(&name[1..])).unwrap();
            symlink(name, place.path.join(format!("to-{}", &name[1..]))).unwrap();
            for path in [name, &format!("/to-{}", &name[1..])] {
                let error = target(path).unwrap_err().to_string();
                assert!(
                    error.contains(&format!("{path}: {name} cannot be mounted over")),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn a_link_is_no_directory_of_the_roots_own() {
        let place = Place::new("own");
        fs::create_dir(place.path.join("other")).unwrap();
        let own = |path: &str| {
            own_directory(place.root.as_fd(), path).map_err(|error| kit::errno(&error))
        };
        for (name, to) in
            [("host", "/etc"), ("inside", "/other"), ("relative", "other")]
        {
            symlink(to, place.path.join(name)).unwrap();
            assert_eq!(
                own(&format!("/{name}")).unwrap_err(),
                Some(Errno::ELOOP),
                "{name}"
            );
        }
        fs::write(place.path.join("file"), "").unwrap();
        assert_eq!(own("/file").unwrap_err(), Some(Errno::ENOTDIR));
        own("/other").unwrap();
    }
}
