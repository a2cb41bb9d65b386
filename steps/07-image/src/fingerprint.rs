//! Tells whether two trees of files are the same: the digest of a list of everything in
//! a tree.
//!
//! The times of directories do not count: a directory that an archive only implies has
//! the time at which it was unpacked.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat,
};

use crate::attributes;
use crate::digest::{Digest, Hashing};
use crate::unpack::{is_opaque, open_beneath};

/// How much of each file counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Only what lstat(2) tells: cheap, and enough to find a file that lost its content
    /// in a power cut.
    Metadata,
    /// The content of every file as well, the targets of links, and attributes.
    Content,
}

/// Returns the digest of a tree.
///
/// # Errors
/// When a part of it cannot be read.
pub(crate) fn fingerprint(tree: &Path, depth: Depth) -> Result<Digest> {
    let top = kit::open_directory(tree)
        .with_context(|| format!("open({})", tree.display()))?;
    let mut list = Hashing::new(io::sink());
    add_stat(&mut list, b"", &rustix::fs::fstat(&top).context("fstat(a layer)")?)?;
    // Not recursive: a tree may be deeper than our stack. The names of each directory on
    // the way are kept, and not whole paths, which take much more memory.
    let (mut path, mut on_the_way) = (Vec::new(), Vec::new());
    loop {
        let directories = add_directory(&mut list, &top, &path, depth)?;
        on_the_way.push((path.len(), directories));
        let next = loop {
            let Some((length, directories)) = on_the_way.last_mut() else {
                return Ok(list.finish().0);
            };
            path.truncate(*length);
            match directories.pop() {
                Some(name) => break name,
                None => drop(on_the_way.pop()),
            }
        };
        path = child_path(&path, &next);
    }
}

/// Adds everything in a directory, and returns the names of the directories in it.
fn add_directory(
    list: &mut List,
    top: &OwnedFd,
    path: &[u8],
    depth: Depth,
) -> Result<Vec<OsString>> {
    let here = open_beneath(top, path)
        .with_context(|| format!("open({})", shown(path).display()))?;
    if depth == Depth::Content {
        add(list, &[is_opaque(&here).into()])?;
        add_attributes(list, attributes::of_directory(here.as_fd())?)?;
    }
    let mut directories = Vec::new();
    for name in names(&here)? {
        let found = statat(&here, &name, AtFlags::SYMLINK_NOFOLLOW)
            .with_context(|| format!("lstat({})", name.display()))?;
        let path = child_path(path, &name);
        add_stat(list, &path, &found)?;
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            directories.push(name);
        } else if depth == Depth::Content {
            add_content(list, &here, &name, &found)
                .with_context(|| shown(&path).display().to_string())?;
        }
    }
    Ok(directories)
}

fn child_path(path: &[u8], name: &OsStr) -> Vec<u8> {
    match path.is_empty() {
        true => name.as_bytes().to_vec(),
        false => [path, b"/", name.as_bytes()].concat(),
    }
}

type List = Hashing<io::Sink>;

/// Adds the number of the bytes and then the bytes, so that different lists never
/// consist of the same bytes.
fn add(list: &mut List, bytes: &[u8]) -> Result<()> {
    use io::Write;
    list.write_all(&(bytes.len() as u64).to_le_bytes())?;
    Ok(list.write_all(bytes)?)
}

fn add_stat(list: &mut List, path: &[u8], found: &Stat) -> Result<()> {
    let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
    let if_file = |number: i64| if is_file { number } else { 0 };
    let numbers = [
        found.st_mode.into(),
        found.st_uid.into(),
        found.st_gid.into(),
        found.st_rdev.cast_signed(),
        if_file(found.st_size),
        if_file(found.st_mtime),
        if_file(found.st_mtime_nsec.cast_signed()),
    ];
    add(list, path)?;
    numbers.into_iter().try_for_each(|number: i64| add(list, &number.to_le_bytes()))
}

fn add_content(
    list: &mut List,
    here: &OwnedFd,
    name: &OsStr,
    found: &Stat,
) -> Result<()> {
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Symlink => {
            let target = readlinkat(here, name, Vec::new()).context("readlinkat")?;
            add(list, target.as_bytes())?;
        }
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = openat(here, name, flags, Mode::empty()).context("openat")?;
            io::copy(&mut File::from(file), list).context("read")?;
        }
        _ => {}
    }
    let path = format!("/proc/self/fd/{}/", here.as_raw_fd());
    let path = [path.as_ref(), name].join(OsStr::new(""));
    add_attributes(list, attributes::of_path(&path)?)
}

fn add_attributes(list: &mut List, found: Vec<(Vec<u8>, Vec<u8>)>) -> Result<()> {
    for (name, value) in found {
        add(list, &name)?;
        add(list, &value)?;
    }
    Ok(())
}

/// Reads the names in a directory, in order.
fn names(here: &OwnedFd) -> Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(here).context("getdents64(a directory)")? {
        let entry = entry.context("getdents64(a directory)")?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    names.sort();
    Ok(names)
}

fn shown(path: &[u8]) -> &OsStr {
    if path.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(path) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_fingerprint_changes_with_a_file_or_a_link_of_the_tree() {
        let scratch = tempfile::tempdir().unwrap();
        let tree = scratch.path();
        let of = |depth| fingerprint(tree, depth).unwrap();
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/b/file"), "text").unwrap();
        symlink("one", tree.join("link")).unwrap();
        let (metadata, content) = (of(Depth::Metadata), of(Depth::Content));
        assert_eq!((of(Depth::Metadata), of(Depth::Content)), (metadata, content));

        fs::remove_file(tree.join("link")).unwrap();
        symlink("two", tree.join("link")).unwrap();
        assert_eq!(of(Depth::Metadata), metadata);
        assert_ne!(of(Depth::Content), content);

        File::create(tree.join("a/b/file")).unwrap();
        assert_ne!(of(Depth::Metadata), metadata);
    }
}
