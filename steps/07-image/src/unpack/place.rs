//! Names of entries, and making room where one is to be.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use anyhow::{Context, Result};
use kit::Failure;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

/// The parts of a path, joined anew without `.` and doubled slashes; "" is the top.
pub(super) fn normal(path: &[u8]) -> Result<Vec<u8>> {
    if path.starts_with(b"/") {
        return Err(Failure::new("its name begins with /")
            .hint("names in a layer begin below its top")
            .into());
    }
    let parts: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    if parts.contains(&&b".."[..]) {
        return Err(Failure::new("its name has a ..")
            .hint("it would lead out of the layer")
            .into());
    }
    Ok(parts.join(&b'/'))
}

/// The path above, and the last part.
pub(super) fn split(path: &[u8]) -> (&[u8], &OsStr) {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    (slash.map_or(&[], |at| &path[..at]), name(path))
}

/// The last part of a path.
pub(super) fn name(path: &[u8]) -> &OsStr {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    OsStr::from_bytes(slash.map_or(path, |at| &path[at + 1..]))
}

/// Removes what has this name, with all that is in it. Nothing there is fine.
pub(crate) fn remove(parent: &OwnedFd, name: &OsStr) -> Result<()> {
    // A directory that is empty needs no right to look into it.
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR) => {
            return unlinkat(parent, name, AtFlags::empty()).context("unlinkat");
        }
        Err(_) => {}
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(parent, name, flags | OFlags::RDONLY, Mode::empty())
        .with_context(|| format!("openat({})", name.display()))?;
    remove_all(directory)?;
    unlinkat(parent, name, AtFlags::REMOVEDIR)
        .with_context(|| format!("unlinkat({})", name.display()))
}

/// Removes all that is in a directory. Not by recursion: an archive may be deeper than
/// our stack.
pub(crate) fn remove_all(top: OwnedFd) -> Result<()> {
    let mut above: Vec<(OwnedFd, OsString)> = Vec::new();
    let mut here = top;
    loop {
        match next_directory(&here)? {
            Some(name) => {
                // Two hundred descriptors are open at most: below that, the tree is
                // made flat.
                if above.len() >= 200 {
                    flatten(&above[0].0, &here, &name)?;
                    continue;
                }
                let flags = OFlags::DIRECTORY
                    | OFlags::NOFOLLOW
                    | OFlags::RDONLY
                    | OFlags::CLOEXEC;
                let below = openat(&here, &name, flags, Mode::empty())
                    .with_context(|| format!("openat({})", name.display()))?;
                above.push((std::mem::replace(&mut here, below), name));
            }
            None => match above.pop() {
                Some((parent, name)) => {
                    unlinkat(&parent, &name, AtFlags::REMOVEDIR)
                        .with_context(|| format!("unlinkat({})", name.display()))?;
                    here = parent;
                }
                None => return Ok(()),
            },
        }
    }
}

/// Removes the files of a directory, and names one that is left and is a directory with
/// something in it.
fn next_directory(here: &OwnedFd) -> Result<Option<OsString>> {
    for entry in Dir::read_from(here).context("getdents64(a directory)")? {
        let entry = entry.context("getdents64(a directory)")?;
        let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
        if name == "." || name == ".." {
            continue;
        }
        match unlinkat(here, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::ISDIR) => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("unlinkat({})", name.display()));
            }
        }
        match unlinkat(here, &name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(Some(name)),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("unlinkat({})", name.display()));
            }
        }
    }
    Ok(None)
}

/// Moves a directory to the top of what is being removed, where its depth counts anew.
fn flatten(top: &OwnedFd, here: &OwnedFd, name: &OsStr) -> Result<()> {
    for number in 0u64.. {
        let flat = format!(".kiste-flat-{number}");
        match rustix::fs::renameat_with(
            here,
            name,
            top,
            &flat,
            rustix::fs::RenameFlags::NOREPLACE,
        ) {
            Err(Errno::EXIST) => {}
            done => return done.context("renameat2(a deep directory)"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_means_nothing() {
        for (name, normal_name) in
            [("./a//b/", "a/b"), (".", ""), ("./", ""), ("a/./b", "a/b"), ("", "")]
        {
            assert_eq!(
                normal(name.as_bytes()).unwrap(),
                normal_name.as_bytes(),
                "{name}"
            );
        }
        for bad in ["/", "/etc", "..", "a/../b", "../x"] {
            assert!(normal(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tree_of_any_depth_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let top = OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
        let mut here = top.try_clone().unwrap();
        for _ in 0..1000 {
            rustix::fs::mkdirat(&here, "d", Mode::from(0o755)).unwrap();
            here = openat(&here, "d", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .unwrap();
        }
        remove(&top, "d".as_ref()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
