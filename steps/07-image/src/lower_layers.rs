//! The layers below another one: the files that they show, and that it may hide.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, Dir, Stat, readlinkat, statat};
use rustix::io::Errno;

use crate::store::open_directory;
use crate::unpack::{is_opaque, is_whiteout, open_beneath};

/// The layers below, the highest first. Each is open once, since a process may have no
/// more than 1024 files open, and an image 500 layers.
pub(crate) struct LowerLayers(Vec<Rc<OwnedFd>>);

impl LowerLayers {
    /// Opens layers, the lowest first.
    pub(crate) fn open(layers: &[PathBuf]) -> Result<Self> {
        let highest_first = layers.iter().rev();
        let opened = highest_first.map(|layer| open_directory(layer).map(Rc::new));
        opened.collect::<Result<_>>().map(LowerLayers)
    }

    /// Returns these layers with one more on top.
    pub(crate) fn with_highest(&self, layer: OwnedFd) -> Self {
        let highest = [Rc::new(layer)];
        LowerLayers(highest.into_iter().chain(self.0.iter().cloned()).collect())
    }

    /// Reads the names of a directory in each layer that has it.
    pub(crate) fn names_in(&self, path: &Path) -> Result<BTreeSet<OsString>> {
        let mut names = BTreeSet::new();
        for layer in &self.0 {
            if let Ok(directory) = open(layer, path) {
                names.extend(read_names(&directory, path)?);
            }
        }
        Ok(names)
    }

    /// Tells whether a file at this path is visible in these layers.
    pub(crate) fn shows(&self, path: &Path) -> Result<bool> {
        Ok(self.find(path)?.is_some())
    }

    /// Finds the file that is visible at this path in these layers: the layer that has
    /// it, and its metadata.
    pub(crate) fn find(&self, path: &Path) -> Result<Option<(&OwnedFd, Stat)>> {
        for layer in &self.0 {
            match visibility(layer, path)? {
                Visibility::Visible(found) => return Ok(Some((layer, found))),
                Visibility::Hidden => return Ok(None),
                Visibility::Undecided => {}
            }
        }
        Ok(None)
    }

    /// Returns the target of the symbolic link at this path; None if these layers show
    /// no link there.
    pub(crate) fn link_target(&self, path: &Path) -> Result<Option<PathBuf>> {
        let Some((layer, _)) = self.find(path)? else { return Ok(None) };
        let (above, name) = split(path);
        let target = open(layer, above).and_then(|it| readlinkat(it, name, Vec::new()));
        Ok(target.ok().map(|it| OsString::from_vec(it.into_bytes()).into()))
    }
}

/// Splits a path below the top into its directory and its name.
pub(crate) fn split(path: &Path) -> (&Path, &OsStr) {
    (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default())
}

/// Whether one layer shows a file.
enum Visibility {
    Visible(Stat),
    /// This layer does not have it, and hides the layers below.
    Hidden,
    /// This layer does not have it, and the layers below decide.
    Undecided,
}

fn visibility(layer: &OwnedFd, path: &Path) -> Result<Visibility> {
    let (above, name) = split(path);
    let directory = match open(layer, above) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return hidden_by_opaque(layer, above),
        // The layer has a file or a whiteout in place of the directory.
        Err(_) => return Ok(Visibility::Hidden),
    };
    match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if is_whiteout(&found) => Ok(Visibility::Hidden),
        Ok(found) => Ok(Visibility::Visible(found)),
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

/// Opens a directory below `top`, and follows no symbolic link.
pub(crate) fn open(top: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    open_beneath(top, path.as_os_str().as_bytes())
}

/// Reads the names in a directory, in order.
pub(crate) fn read_names(
    directory: &OwnedFd,
    path: &Path,
) -> Result<BTreeSet<OsString>> {
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
