//! What a layer changes of those below it: `diff`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, Dir, statat};
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

/// The changes that the directory `upper` makes to these layers, the lowest first.
pub(crate) fn changes(upper: &Path, layers: &[PathBuf]) -> Result<Vec<Change>> {
    let below = Below(layers.iter().rev().map(|layer| open_directory(layer)).collect::<Result<_>>()?);
    let mut changes = Vec::new();
    walk(upper, Path::new(""), &below, &mut changes)?;
    Ok(changes)
}

fn walk(upper: &Path, path: &Path, below: &Below, changes: &mut Vec<Change>) -> Result<()> {
    let full = upper.join(path);
    let read = || format!("read {}", full.display());
    let mut entries: Vec<_> =
        fs::read_dir(&full).with_context(read)?.collect::<Result<_, _>>().with_context(read)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = path.join(entry.file_name());
        let found = entry.metadata().with_context(read)?;
        let shown = Path::new("/").join(&path);
        if found.file_type().is_char_device() && found.rdev() == 0 {
            changes.push(Change::Deleted(shown));
            continue;
        }
        changes.push(if below.has(&path)? { Change::Changed(shown) } else { Change::Added(shown) });
        if found.is_dir() {
            let full = upper.join(&path);
            if is_opaque(&open_directory(&full)?) {
                below.deleted(&path, &full, changes)?;
            }
            walk(upper, &path, below, changes)?;
        }
    }
    Ok(())
}

/// Layers, the highest first.
struct Below(Vec<OwnedFd>);

impl Below {
    /// What an opaque directory hides of what was in it, and has not itself.
    fn deleted(&self, path: &Path, upper: &Path, changes: &mut Vec<Change>) -> Result<()> {
        let mut names = BTreeSet::new();
        for layer in &self.0 {
            let Ok(directory) = open_beneath(layer, path.as_os_str().as_bytes()) else { continue };
            let entries = Dir::read_from(&directory).with_context(|| format!("read {}", path.display()))?;
            for entry in entries {
                let name = entry.with_context(|| format!("read {}", path.display()))?.file_name().to_owned();
                names.insert(OsStr::from_bytes(name.to_bytes()).to_owned());
            }
        }
        for name in names.iter().filter(|name| *name != "." && *name != "..") {
            let is_there = fs::symlink_metadata(upper.join(name)).is_ok();
            if !is_there && self.has(&path.join(name))? {
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
    let (above, name) = (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default());
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
