//! `diff`: lists what a layer changes in the layers below it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, FileType, statat};
use rustix::io::Errno;

use crate::lower_layers::{LowerLayers, open, read_names};
use crate::made_mount_points::find_made;
use crate::store::open_directory;
use crate::unpack::{is_opaque, is_whiteout};

/// A change to the file at this path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Added(PathBuf),
    Changed(PathBuf),
    Deleted(PathBuf),
}

impl Change {
    fn path(&self) -> &Path {
        let (Change::Added(path) | Change::Changed(path) | Change::Deleted(path)) =
            self;
        path
    }
}

/// Lists the changes that the directory `upper` makes to these layers, the lowest
/// first. A running container may change `upper` meanwhile, so no symbolic link is
/// followed, and files that disappear are left out.
///
/// The mount points that the runtime has made among `mount_points` are no changes.
pub(crate) fn changes(
    upper: &Path,
    layers: &[PathBuf],
    mount_points: &[PathBuf],
) -> Result<Vec<Change>> {
    let below = LowerLayers::open(layers)?;
    let made = find_made(upper, &below, mount_points)?;
    let upper = open_directory(upper)?;
    let mut changes = Vec::new();
    // It does not recurse, and has one directory open at once: a container may make them
    // deeper than our stack.
    let mut directories = vec![Directory { path: PathBuf::new(), is_added: false }];
    while let Some(directory) = directories.pop() {
        add_changes(&upper, &directory, &below, &mut changes, &mut directories)?;
    }
    let is_made =
        |path: &Path| path.strip_prefix("/").is_ok_and(|it| made.contains(it));
    changes.retain(|change| match change {
        Change::Added(path) | Change::Changed(path) => !is_made(path),
        Change::Deleted(_) => true,
    });
    changes.sort_by(|one, other| one.path().cmp(other.path()));
    Ok(changes)
}

/// A directory that is to be looked into.
struct Directory {
    path: PathBuf,
    /// Whether no layer below shows it: then none shows anything in it.
    is_added: bool,
}

/// Adds the changes in a directory, and the directories in it.
fn add_changes(
    upper: &OwnedFd,
    Directory { path, is_added }: &Directory,
    below: &LowerLayers,
    changes: &mut Vec<Change>,
    directories: &mut Vec<Directory>,
) -> Result<()> {
    let shown = |path: &Path| Path::new("/").join(path);
    let Some(directory) = open_if_possible(upper, path)? else { return Ok(()) };
    let own_names = read_names(&directory, path)?;
    if is_opaque(&directory) {
        add_deleted(below, path, &own_names, changes)?;
    }
    for name in &own_names {
        let Ok(found) = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let path = path.join(name);
        if is_whiteout(&found) {
            changes.push(Change::Deleted(shown(&path)));
            continue;
        }
        let is_added = *is_added || !below.shows(&path)?;
        let change = if is_added { Change::Added } else { Change::Changed };
        changes.push(change(shown(&path)));
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            directories.push(Directory { path, is_added });
        }
    }
    Ok(())
}

/// Opens a directory; None if it was removed or replaced meanwhile, or no call takes its
/// path.
fn open_if_possible(upper: &OwnedFd, path: &Path) -> Result<Option<OwnedFd>> {
    match open(upper, path) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(Errno::NAMETOOLONG) => {
            let path = kit::escape_control_characters(&path.display().to_string());
            kit::warn(format_args!("the path is too long to look into it: /{path}"));
            Ok(None)
        }
        opened => opened.map(Some).with_context(|| format!("open({})", path.display())),
    }
}

/// Adds the files that an opaque directory at this path hides, as deleted, except those
/// whose names it has itself (`own_names`).
fn add_deleted(
    below: &LowerLayers,
    path: &Path,
    own_names: &BTreeSet<OsString>,
    changes: &mut Vec<Change>,
) -> Result<()> {
    for name in below.names_in(path)?.difference(own_names) {
        if below.shows(&path.join(name))? {
            changes.push(Change::Deleted(Path::new("/").join(path).join(name)));
        }
    }
    Ok(())
}
