//! A mount point for a file that the runtime itself mounts, such as /etc/resolv.conf.

use std::os::fd::BorrowedFd;
use std::path::Path;

use anyhow::{Context, Result};
use kit::Failure;
use rustix::fs::{FileType, fstat};

use crate::make::{self, TargetKind};
use crate::resolve::open_silently;

/// Makes an empty file at `path` inside `root`, as [`inside::make`] does.
///
/// # Errors
/// When the file there is not a regular one, and as [`inside::make`].
///
/// [`inside::make`]: crate::inside::make
pub fn make(root: BorrowedFd<'_>, path: &Path) -> Result<()> {
    make::make(root, path, TargetKind::File)?;
    refuse_unless_regular_file(root, path)
}

fn refuse_unless_regular_file(root: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let found = open_silently(root, path).and_then(fstat);
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
    fn a_file_is_made_at_the_target_of_a_link_and_never_outside_the_root() {
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
