//! A mount point for a file that the runtime itself mounts, such as /etc/resolv.conf.
//! Many images have a symbolic link there, to a file that exists only on a running
//! system.

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use kit::Failure;
use rustix::fs::{FileType, fstat, readlinkat};

use crate::make::{look_failed, make_directory, make_file};
use crate::resolve::{look, look_at_link};

/// The most symbolic links that are followed, as in the kernel: path_resolution(7).
const MOST_LINKS: usize = 40;

/// Makes an empty file at `path` inside `root`, with the directories above it, unless
/// it exists. A dangling link is followed: the file is made where the link leads,
/// inside `root`.
///
/// # Errors
/// When the file there is not a regular one, the links form a loop, or the file system
/// is read-only or full.
pub fn make(root: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match make_or_follow(root, &path)? {
            Some(leads_to) => path = leads_to,
            None => return Ok(()),
        }
    }
    Err(Failure::new(format_args!("{}: a loop of symbolic links", path.display()))
        .into())
}

/// Walks down `path` and makes the parts that are missing. At a dangling link it stops,
/// and returns the path that the link leads to.
fn make_or_follow(root: BorrowedFd<'_>, path: &Path) -> Result<Option<PathBuf>> {
    let mut so_far = PathBuf::from("/");
    let mut parts =
        path.components().filter(|part| *part != Component::RootDir).peekable();
    while let Some(part) = parts.next() {
        let above = so_far.clone();
        so_far.push(part);
        match look(root, &so_far) {
            Ok(_) => continue,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP) => {}
            Err(error) => look_failed(&so_far, error)?,
        }
        match look_at_link(root, &so_far) {
            Ok(link) => {
                let to = readlinkat(link, "", Vec::new())
                    .with_context(|| format!("readlink {}", so_far.display()))?;
                let to = above.join(OsStr::from_bytes(to.as_bytes()));
                return Ok(Some(parts.fold(to, |path, part| path.join(part))));
            }
            Err(rustix::io::Errno::NOENT) => {
                make_part(root, &above, &so_far, parts.peek().is_none())?
            }
            Err(error) => look_failed(&so_far, error)?,
        }
    }
    refuse_unless_file(root, path).map(|()| None)
}

/// Makes `path`, which does not exist, in the directory `above`, which does.
fn make_part(
    root: BorrowedFd<'_>,
    above: &Path,
    path: &Path,
    is_last: bool,
) -> Result<()> {
    let name = path.file_name().unwrap_or_default();
    let above =
        look(root, above).with_context(|| format!("open {}", above.display()))?;
    if is_last {
        make_file(&above, name, path)
    } else {
        make_directory(&above, name, path)
    }
}

fn refuse_unless_file(root: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let found = look(root, path).and_then(fstat);
    let found = found.with_context(|| format!("stat {}", path.display()))?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(Failure::new(format_args!(
            "{} of this root file system is not a regular file",
            path.display()
        ))
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::test_root::TestRoot;

    /// A root with the directory /etc.
    fn root_with_etc(name: &str) -> TestRoot {
        let root = TestRoot::new(name);
        fs::create_dir(root.path().join("etc")).unwrap();
        root
    }

    fn make_in(root: &TestRoot, path: &str) -> Result<()> {
        make(root.as_fd(), Path::new(path))
    }

    #[test]
    fn a_file_is_made_where_a_link_leads_and_never_outside() {
        let root = root_with_etc("follow");
        let links = [
            ("etc/relative", "../run/systemd/stub.conf", "run/systemd/stub.conf"),
            ("etc/absolute", "/run/other.conf", "run/other.conf"),
            ("etc/escaping", "../../outside/resolv.conf", "outside/resolv.conf"),
            ("etc/twice", "absolute2", "run/second.conf"),
            ("etc/absolute2", "/run/second.conf", "run/second.conf"),
            ("etc/under", "../link/below.conf", "run/below/below.conf"),
            ("link", "run/below", "run/below"),
        ];
        for (name, to, _) in links {
            symlink(to, root.path().join(name)).unwrap();
        }
        for (name, _, made) in &links[..6] {
            make_in(&root, &format!("/{name}")).unwrap();
            assert!(root.path().join(made).is_file(), "{name}");
        }
        assert!(!root.outside().join("resolv.conf").exists());
    }

    #[test]
    fn a_file_that_exists_is_left_as_it_is() {
        let root = root_with_etc("kept");
        fs::write(root.path().join("etc/hosts"), "kept").unwrap();
        make_in(&root, "/etc/hosts").unwrap();
        assert_eq!(fs::read_to_string(root.path().join("etc/hosts")).unwrap(), "kept");
    }

    #[test]
    fn a_loop_of_links_a_directory_and_a_fifo_are_refused() {
        let root = root_with_etc("refused");
        symlink("b", root.path().join("etc/a")).unwrap();
        symlink("a", root.path().join("etc/b")).unwrap();
        fs::create_dir(root.path().join("etc/dir")).unwrap();
        let fifo = root.path().join("etc/fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in ["/etc/a", "/etc/dir", "/etc/fifo", "/etc/dir/../dir", "/"] {
            assert!(make_in(&root, path).is_err(), "{path}");
        }
    }
}
