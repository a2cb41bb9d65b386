//! What a layer changes of those below it: `diff`.

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

/// A change, and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Added(PathBuf),
    Changed(PathBuf),
    Deleted(PathBuf),
}

/// The changes that the directory `upper` makes to these layers, the lowest first. A
/// container that runs may change it meanwhile: no link of its is followed, and what
/// goes is left out.
pub(crate) fn changes(upper: &Path, layers: &[PathBuf]) -> Result<Vec<Change>> {
    let below = Below(
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
    below: &Below,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let directory = match open_beneath(upper, path.as_os_str().as_bytes()) {
        // it went meanwhile
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        directory => directory.with_context(|| format!("open({})", path.display()))?,
    };
    let own = names(&directory, path)?;
    if is_opaque(&directory) {
        below.deleted(path, &own, changes)?;
    }
    for name in &own {
        let Ok(found) = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let path = path.join(name);
        let shown = Path::new("/").join(&path);
        if is_whiteout(&found) {
            changes.push(Change::Deleted(shown));
            continue;
        }
        changes.push(if below.has(&path)? {
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

/// The names in a directory, in order.
fn names(directory: &OwnedFd, path: &Path) -> Result<BTreeSet<OsString>> {
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

/// Layers, the highest first.
struct Below(Vec<OwnedFd>);

impl Below {
    /// What an opaque directory hides of what was in it, and has not itself.
    fn deleted(
        &self,
        path: &Path,
        own: &BTreeSet<OsString>,
        changes: &mut Vec<Change>,
    ) -> Result<()> {
        let mut hidden = BTreeSet::new();
        for layer in &self.0 {
            let Ok(directory) = open_beneath(layer, path.as_os_str().as_bytes()) else {
                continue;
            };
            hidden.extend(names(&directory, path)?);
        }
        for name in hidden.difference(own) {
            if self.has(&path.join(name))? {
                changes.push(Change::Deleted(Path::new("/").join(path).join(name)));
            }
        }
        Ok(())
    }

    /// Whether there is something of this name in what they show.
    fn has(&self, path: &Path) -> Result<bool> {
        for layer in &self.0 {
            match within(layer, path)? {
                Within::Here => return Ok(true),
                Within::Hidden => return Ok(false),
                Within::Perhaps => {}
            }
        }
        Ok(false)
    }
}

enum Within {
    Here,
    /// Not here, and what is below does not show.
    Hidden,
    /// Not here; the layers below decide.
    Perhaps,
}

fn within(layer: &OwnedFd, path: &Path) -> Result<Within> {
    let (above, name) =
        (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default());
    let directory = match open_beneath(layer, above.as_os_str().as_bytes()) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return nearest(layer, above),
        Err(_) => return Ok(Within::Hidden), // something else is there, or a whiteout
    };
    match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if is_whiteout(&found) => Ok(Within::Hidden),
        Ok(_) => Ok(Within::Here),
        Err(Errno::NOENT) if is_opaque(&directory) => Ok(Within::Hidden),
        Err(Errno::NOENT) => nearest(layer, above),
        Err(error) => Err(error).with_context(|| format!("stat({})", path.display())),
    }
}

/// Whether a directory on the way hides what is below.
fn nearest(layer: &OwnedFd, path: &Path) -> Result<Within> {
    for above in path.ancestors() {
        if let Ok(directory) = open_beneath(layer, above.as_os_str().as_bytes())
            && is_opaque(&directory)
        {
            return Ok(Within::Hidden);
        }
    }
    Ok(Within::Perhaps)
}
