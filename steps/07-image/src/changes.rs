//! `diff`: lists what a layer changes in the layers below it.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, Dir, FileType, statat};
use rustix::io::Errno;

use crate::store::open_directory;
use crate::unpack::{is_opaque, is_whiteout, open_beneath};

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
pub(crate) fn changes(upper: &Path, layers: &[PathBuf]) -> Result<Vec<Change>> {
    let below = LowerLayers(
        layers
            .iter()
            .rev()
            .map(|layer| open_directory(layer))
            .collect::<Result<_>>()?,
    );
    let mut changes = Vec::new();
    walk(&open_directory(upper)?, Path::new(""), &below, &mut changes)?;
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
        below.add_deleted(path, &own_names, changes)?;
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

/// Reads the names in a directory, in order.
fn read_names(directory: &OwnedFd, path: &Path) -> Result<BTreeSet<OsString>> {
    let read = || format!("read {}", path.display());
    let mut names = BTreeSet::new();
    for entry in Dir::read_from(directory).with_context(read)? {
        let entry = entry.with_context(read)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.insert(name.to_owned());
        }
    }
    Ok(names)
}

/// The layers below, the highest first.
struct LowerLayers(Vec<OwnedFd>);

impl LowerLayers {
    /// Adds the files that an opaque directory at this path hides, as deleted, except
    /// those whose names it has itself (`own_names`).
    fn add_deleted(
        &self,
        path: &Path,
        own_names: &BTreeSet<OsString>,
        changes: &mut Vec<Change>,
    ) -> Result<()> {
        let mut hidden = BTreeSet::new();
        for layer in &self.0 {
            if let Ok(directory) = open(layer, path) {
                hidden.extend(read_names(&directory, path)?);
            }
        }
        for name in hidden.difference(own_names) {
            if self.shows(&path.join(name))? {
                changes.push(Change::Deleted(Path::new("/").join(path).join(name)));
            }
        }
        Ok(())
    }

    /// Tells whether a file at this path is visible in these layers.
    fn shows(&self, path: &Path) -> Result<bool> {
        for layer in &self.0 {
            match visibility(layer, path)? {
                Visibility::Visible => return Ok(true),
                Visibility::Hidden => return Ok(false),
                Visibility::Undecided => {}
            }
        }
        Ok(false)
    }
}

/// Whether one layer shows a file.
enum Visibility {
    Visible,
    /// This layer does not have it, and hides the layers below.
    Hidden,
    /// This layer does not have it, and the layers below decide.
    Undecided,
}

fn visibility(layer: &OwnedFd, path: &Path) -> Result<Visibility> {
    let (above, name) =
        (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default());
    let directory = match open(layer, above) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return hidden_by_opaque(layer, above),
        // The layer has a file or a whiteout in place of the directory.
        Err(_) => return Ok(Visibility::Hidden),
    };
    match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if is_whiteout(&found) => Ok(Visibility::Hidden),
        Ok(_) => Ok(Visibility::Visible),
        Err(Errno::NOENT) => hidden_by_opaque(layer, above),
        Err(error) => Err(error).with_context(|| format!("stat({})", path.display())),
    }
}

/// Looks for an opaque directory on the path, which hides the layers below.
fn hidden_by_opaque(layer: &OwnedFd, path: &Path) -> Result<Visibility> {
    let mut above = path.ancestors();
    let is_hidden = above.any(|path| open(layer, path).is_ok_and(|it| is_opaque(&it)));
    Ok(if is_hidden { Visibility::Hidden } else { Visibility::Undecided })
}

fn open(top: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    open_beneath(top, path.as_os_str().as_bytes())
}
