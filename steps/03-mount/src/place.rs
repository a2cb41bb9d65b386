//! A place for a file that the runtime itself mounts, at a name which an image may have
//! made a link: /etc/resolv.conf of many images leads to a file that only a running
//! system has.

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use kit::Failure;
use rustix::fs::{FileType, fstat, readlinkat};

use crate::inside;

/// As many links as the kernel itself follows: path_resolution(7).
const LINKS: usize = 40;

/// Makes an empty file where `path` leads inside `root`, with the directories above it,
/// unless it is there. A link that leads nowhere yet is followed: the file is made
/// where it leads, inside `root`.
///
/// # Errors
/// When what is there is no regular file, the links lead in a circle, or the file
/// system is read-only or full.
pub fn make(root: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS {
        match step(root, &path)? {
            Some(leads_to) => path = leads_to,
            None => return Ok(()),
        }
    }
    Err(Failure::new(format_args!("{}: links that lead in a circle", path.display()))
        .into())
}

/// Walks down `path` and makes what is missing, until it is there or a link leads
/// elsewhere.
fn step(root: BorrowedFd<'_>, path: &Path) -> Result<Option<PathBuf>> {
    let mut so_far = PathBuf::from("/");
    let mut parts =
        path.components().filter(|part| *part != Component::RootDir).peekable();
    while let Some(part) = parts.next() {
        let above = so_far.clone();
        so_far.push(part);
        match inside::look(root, &so_far) {
            Ok(_) => continue,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP) => {}
            Err(error) => inside::refused(&so_far, error)?,
        }
        match inside::look_at_link(root, &so_far) {
            Ok(link) => {
                let to = readlinkat(link, "", Vec::new())
                    .with_context(|| format!("readlink {}", so_far.display()))?;
                let to = above.join(OsStr::from_bytes(to.as_bytes()));
                return Ok(Some(parts.fold(to, |path, part| path.join(part))));
            }
            Err(rustix::io::Errno::NOENT) => {
                make_one(root, &above, &so_far, parts.peek().is_none())?
            }
            Err(error) => inside::refused(&so_far, error)?,
        }
    }
    is_file(root, path).map(|()| None)
}

/// Makes `path`, which is not there, below `above`, which is.
fn make_one(
    root: BorrowedFd<'_>,
    above: &Path,
    path: &Path,
    is_last: bool,
) -> Result<()> {
    let name = path.file_name().unwrap_or_default();
    let above = inside::look(root, above)
        .with_context(|| format!("open {}", above.display()))?;
    if is_last {
        inside::make_file(&above, name, path)
    } else {
        inside::make_directory(&above, name, path)
    }
}

fn is_file(root: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let found = inside::look(root, path).and_then(fstat);
    let found = found.with_context(|| format!("stat {}", path.display()))?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(Failure::new(format_args!(
            "{} of this root file system is no file",
            path.display()
        ))
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    /// A root of the test's own below a directory of the test's own; dropped, both are
    /// removed.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir()
                .join(format!("kiste-place-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("root/etc")).unwrap();
            Scratch(path)
        }

        fn root(&self) -> PathBuf {
            self.0.join("root")
        }

        fn make(&self, path: &str) -> Result<()> {
            make(fs::File::open(self.root()).unwrap().as_fd(), Path::new(path))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_is_made_where_a_link_leads_and_never_outside() {
        let scratch = Scratch::new("links");
        let outside = scratch.0.join("run/resolv.conf");
        let links = [
            ("etc/relative", "../run/systemd/stub.conf", "run/systemd/stub.conf"),
            ("etc/absolute", "/run/other.conf", "run/other.conf"),
            ("etc/escaping", "../../../../run/resolv.conf", "run/resolv.conf"),
            ("etc/twice", "absolute2", "run/second.conf"),
            ("etc/absolute2", "/run/second.conf", "run/second.conf"),
            ("etc/under", "../link/below.conf", "run/below/below.conf"),
            ("link", "run/below", "run/below"),
        ];
        for (name, to, _) in links {
            symlink(to, scratch.root().join(name)).unwrap();
        }
        for (name, _, made) in &links[..6] {
            scratch.make(&format!("/{name}")).unwrap();
            assert!(scratch.root().join(made).is_file(), "{name}");
        }
        assert!(!outside.exists());
    }

    #[test]
    fn what_is_there_is_left_as_it_is() {
        let scratch = Scratch::new("there");
        fs::write(scratch.root().join("etc/hosts"), "kept").unwrap();
        scratch.make("/etc/hosts").unwrap();
        assert_eq!(
            fs::read_to_string(scratch.root().join("etc/hosts")).unwrap(),
            "kept"
        );
    }

    #[test]
    fn a_circle_a_directory_and_a_pipe_are_refused() {
        let scratch = Scratch::new("refused");
        symlink("b", scratch.root().join("etc/a")).unwrap();
        symlink("a", scratch.root().join("etc/b")).unwrap();
        fs::create_dir(scratch.root().join("etc/dir")).unwrap();
        nix::unistd::mkfifo(
            &scratch.root().join("etc/pipe"),
            nix::sys::stat::Mode::S_IRWXU,
        )
        .unwrap();
        for path in ["/etc/a", "/etc/dir", "/etc/pipe", "/etc/dir/../dir", "/"] {
            assert!(scratch.make(path).is_err(), "{path}");
        }
    }
}
