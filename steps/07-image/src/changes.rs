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
    let made = find_made(upper, layers, mount_points)?;
    let mut changes = Vec::new();
    walk(&open_directory(upper)?, Path::new(""), &below, &mut changes)?;
    let is_made =
        |path: &Path| path.strip_prefix("/").is_ok_and(|it| made.contains(it));
    changes.retain(|change| match change {
        Change::Added(path) | Change::Changed(path) => !is_made(path),
        Change::Deleted(_) => true,
    });
    Ok(changes)
}

fn walk(
    upper: &OwnedFd,
    path: &Path,
    below: &LowerLayers,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let directory = match open(upper, path) {
        // removed or replaced meanwhile
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        directory => directory.with_context(|| format!("open({})", path.display()))?,
    };
    let own_names = read_names(&directory, path)?;
    if is_opaque(&directory) {
        add_deleted(below, path, &own_names, changes)?;
    }
    for name in &own_names {
        let Ok(found) = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let path = path.join(name);
        let shown = Path::new("/").join(&path);
        if is_whiteout(&found) {
            changes.push(Change::Deleted(shown));
            continue;
        }
        changes.push(if below.shows(&path)? {
            Change::Changed(shown)
        } else {
            Change::Added(shown)
        });
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            walk(upper, &path, below, changes)?;
        }
    }
    Ok(())
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
