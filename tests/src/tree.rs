//! Directory trees and their comparison: everything that lstat(2), xattr(7) and the
//! content of files tell.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::image::digest;

/// A file of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `file`, `dir`, `link`, `fifo`, `char`, `block` or `socket`.
    pub kind: &'static str,
    /// Permissions, with set-user-ID, set-group-ID and sticky.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// The size of a regular file; 0 for other kinds.
    pub size: u64,
    /// Major and minor number of a device.
    pub device: (u64, u64),
    /// The target of a symbolic link.
    pub leads_to: Option<PathBuf>,
    /// The first of its hard links, in alphabetical order.
    pub first_name: PathBuf,
    /// The number of its hard links; 1 for directories.
    pub names: u64,
    /// Its extended attributes.
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// The digest of a file's content.
    pub content: Option<String>,
}

/// Everything below a directory, by relative path; the directory itself is `.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<PathBuf, Node>);

impl Tree {
    /// Reads a directory tree.
    pub fn of(top: &Path) -> Self {
        Tree::of_what_is(top, |_| true)
    }

    /// Reads a directory tree without the paths that are not wanted, and without
    /// everything below these.
    pub fn of_what_is(top: &Path, wanted: impl Fn(&Path) -> bool) -> Self {
        let mut paths = vec![PathBuf::new()];
        let mut at = 0;
        while at < paths.len() {
            let path = top.join(&paths[at]);
            if fs::symlink_metadata(&path).is_ok_and(|it| it.is_dir()) {
                let entries = fs::read_dir(&path)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                let below =
                    entries.map(|entry| paths[at].join(entry.unwrap().file_name()));
                let below: Vec<_> = below.filter(|path| wanted(path)).collect();
                paths.extend(below);
            }
            at += 1;
        }
        paths.sort();
        let mut first = BTreeMap::new();
        let mut nodes = BTreeMap::new();
        for path in paths {
            let name = if path.as_os_str().is_empty() {
                PathBuf::from(".")
            } else {
                path.clone()
            };
            let metadata = fs::symlink_metadata(top.join(&name)).expect("it is there");
            let first_name = first
                .entry((metadata.dev(), metadata.ino()))
                .or_insert(name.clone())
                .clone();
            nodes.insert(name.clone(), Node::of(&top.join(&name), first_name));
        }
        Tree(nodes)
    }

    /// Returns the file at this path.
    #[track_caller]
    pub fn at(&self, path: impl AsRef<Path>) -> &Node {
        let path = path.as_ref();
        self.0.get(path).unwrap_or_else(|| {
            panic!("no {}; there is {:#?}", path.display(), self.0.keys())
        })
    }

    /// Returns whether there is a file at this path.
    pub fn has(&self, path: impl AsRef<Path>) -> bool {
        self.0.contains_key(path.as_ref())
    }

    /// Changes every node, to remove what a comparison is to leave out.
    pub fn but(mut self, change: impl Fn(&Path, &mut Node)) -> Self {
        self.0.iter_mut().for_each(|(path, node)| change(path, node));
        self
    }

    /// Keeps only the paths that are wanted.
    pub fn only(mut self, wanted: impl Fn(&Path) -> bool) -> Self {
        self.0.retain(|path, _| wanted(path));
        self
    }

    /// Asserts that the two trees are equal in everything.
    #[track_caller]
    pub fn is(&self, other: &Tree) {
        let paths = self
            .0
            .keys()
            .chain(other.0.keys().filter(|path| !self.0.contains_key(*path)));
        let differs = |path: &&PathBuf| self.0.get(*path) != other.0.get(*path);
        let difference = |path: &PathBuf| {
            format!(
                "{}:\n  is        {:?}\n  should be {:?}",
                path.display(),
                self.0.get(path),
                other.0.get(path)
            )
        };
        let wrong: Vec<String> = paths.filter(differs).map(difference).collect();
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    }
}

impl Node {
    fn of(path: &Path, first_name: PathBuf) -> Self {
        let metadata = fs::symlink_metadata(path).unwrap();
        let kind = metadata.file_type();
        let (kind, device) = match () {
            () if kind.is_file() => ("file", 0),
            () if kind.is_dir() => ("dir", 0),
            () if kind.is_symlink() => ("link", 0),
            () if kind.is_fifo() => ("fifo", 0),
            () if kind.is_char_device() => ("char", metadata.rdev()),
            () if kind.is_block_device() => ("block", metadata.rdev()),
            () => ("socket", 0),
        };
        Node {
            kind,
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            size: if kind == "file" { metadata.len() } else { 0 },
            device: (nix::sys::stat::major(device), nix::sys::stat::minor(device)),
            leads_to: fs::read_link(path).ok(),
            first_name,
            names: if kind == "dir" { 1 } else { metadata.nlink() },
            xattrs: xattrs(path),
            content: (kind == "file").then(|| digest(&fs::read(path).unwrap())),
        }
    }
}

/// Returns the extended attributes of a file, or of a link itself.
pub fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let mut names = vec![0; 65536];
    let length = match rustix::fs::llistxattr(&path, &mut names[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        Err(error) => panic!("llistxattr({path:?}): {error}"),
    };
    let names =
        names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 65536];
        let length =
            rustix::fs::lgetxattr(&path, CString::new(name).unwrap(), &mut value[..])
                .unwrap();
        value.truncate(length);
        value
    };
    names.map(|name| (String::from_utf8_lossy(name).into(), value(name))).collect()
}

/// Makes a path from any bytes.
pub fn path(bytes: &[u8]) -> PathBuf {
    std::ffi::OsString::from_vec(bytes.into()).into()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn example_tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/x"), "x").unwrap();
        fs::hard_link(dir.path().join("d/x"), dir.path().join("y")).unwrap();
        symlink("nowhere", dir.path().join("l")).unwrap();
        dir
    }

    #[test]
    fn a_tree_is_equal_to_itself() {
        let dir = example_tree();
        let tree = Tree::of(dir.path());
        tree.is(&Tree::of(dir.path()));
        assert_eq!(tree.0.len(), 5);
        assert_eq!(
            (tree.at("d/x").names, tree.at("y").first_name.to_str()),
            (2, Some("d/x"))
        );
        assert_eq!(tree.at("l").leads_to, Some("nowhere".into()));
    }

    #[test]
    fn every_change_is_seen() {
        let changes: [fn(&Path); 6] = [
            |dir| fs::write(dir.join("d/x"), "y").unwrap(),
            |dir| {
                fs::set_permissions(dir.join("d"), Permissions::from_mode(0o700))
                    .unwrap()
            },
            |dir| fs::remove_file(dir.join("l")).unwrap(),
            |dir| {
                fs::remove_file(dir.join("l"))
                    .and_then(|()| symlink("elsewhere", dir.join("l")))
                    .unwrap()
            },
            |dir| {
                fs::remove_file(dir.join("y")).unwrap();
                fs::write(dir.join("y"), "x").unwrap();
            },
            |dir| {
                let file = fs::File::open(dir.join("d/x")).unwrap();
                let time = file.metadata().unwrap().modified().unwrap();
                file.set_modified(time + std::time::Duration::from_nanos(1)).unwrap();
            },
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let dir = example_tree();
            let before = Tree::of(dir.path());
            change(dir.path());
            assert_ne!(Tree::of(dir.path()), before, "change {number}");
        }
    }
}
