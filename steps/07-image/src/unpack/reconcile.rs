//! The last step of unpacking a layer, when the layers below it are known. It removes
//! whiteouts that hide nothing: overlayfs shows such a whiteout as a name without a
//! file. Directories that the archive only implies get the metadata that they have in
//! the layers below.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use kit::Failure;
use rustix::fs::{
    AtFlags, FileType, Mode, Stat, fstat, futimens, mknodat, statat, unlinkat,
};
use rustix::io::Errno;

use super::hiding::Hiding;
use super::metadata::{copy_metadata, times_of};
use super::open::open_beneath;
use super::whiteout::is_whiteout;
use super::{Unpacked, path};
use crate::limits::MOST_LOOKUPS;
use crate::store::open_directory;

/// Reconciles a layer's tree with the layers `below` it, the lowest first.
pub(crate) fn reconcile(
    tree: &OwnedFd,
    unpacked: &Unpacked,
    below: &[PathBuf],
) -> Result<()> {
    let Unpacked { implied, whiteouts, .. } = unpacked;
    let count = implied.len() + whiteouts.len();
    ensure!(
        count.saturating_mul(below.len()) <= MOST_LOOKUPS,
        Failure::new(format_args!(
            "a layer has {count} whiteouts and directories that it does not list, above {} layers: the most is {MOST_LOOKUPS} lookups",
            below.len()
        ))
    );
    // In reverse order: the paths below a directory come before it.
    let mut paths: BTreeSet<&Vec<u8>> = whiteouts.iter().collect();
    paths.extend(implied.iter().filter(|path| !path.is_empty()));
    let mut hiding: Vec<_> = (0..=below.len()).map(|_| Hiding::default()).collect();
    for path in paths.into_iter().rev() {
        let (above, name) = path::split(path);
        let Ok(parent) = open_beneath(tree, above) else { continue };
        let Ok(found) = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let is_directory = is_directory(&found);
        let is_implied = is_directory && implied.contains(path);
        if !is_whiteout(&found) && !is_implied {
            continue;
        }
        let hidden = find_visible(tree, below, path, &mut hiding)?;
        let is_whiteout = whiteouts.contains(path);
        if is_directory
            && hidden.as_ref().is_some_and(self::is_directory)
            && !is_whiteout
        {
            continue;
        }
        if is_directory || hidden.is_none() {
            let times = times_of(&fstat(&parent).context("fstat(a directory)")?);
            remove_empty(&parent, name, is_directory, is_whiteout && hidden.is_some())?;
            futimens(&parent, &times).context("utimensat(a directory)")?;
        }
    }
    complete_implied(tree, unpacked, below)
}

fn is_directory(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::Directory
}

/// Removes a whiteout, or a directory if it is empty. In its place leaves a whiteout,
/// if one is needed.
fn remove_empty(
    parent: &OwnedFd,
    name: &OsStr,
    is_directory: bool,
    leave_whiteout: bool,
) -> Result<()> {
    let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    match unlinkat(parent, name, flags) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(()),
        removed => removed.context("unlinkat(a whiteout)")?,
    }
    if leave_whiteout {
        mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0)
            .context("mknodat(a whiteout)")?;
    }
    Ok(())
}

/// Returns the file that the layers `below` show at this path, unless `tree` hides what
/// they have in its directory.
fn find_visible(
    tree: &OwnedFd,
    below: &[PathBuf],
    path: &[u8],
    hiding: &mut [Hiding],
) -> Result<Option<Stat>> {
    let (above, name) = path::split(path);
    let mut hiding = hiding.iter_mut();
    let mut hides_lower = |layer: &OwnedFd| match hiding.next() {
        Some(hiding) => hiding.hides_lower(layer, above),
        None => Ok(false),
    };
    if below.is_empty() || hides_lower(tree)? {
        return Ok(None);
    }
    for layer in below.iter().rev() {
        let layer = &open_directory(layer)?;
        if let Ok(directory) = open_beneath(layer, above)
            && let Ok(found) = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)
        {
            return Ok(Some(found).filter(|found| !is_whiteout(found)));
        }
        if hides_lower(layer)? {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Completes the directories that the archive only implies: they get the metadata that
/// they have in the nearest lower layer.
fn complete_implied(
    tree: &OwnedFd,
    unpacked: &Unpacked,
    below: &[PathBuf],
) -> Result<()> {
    for implied in &unpacked.implied {
        // A file may have replaced the directory.
        let Ok(directory) = open_beneath(tree, implied) else { continue };
        for layer in below.iter().rev() {
            match open_beneath(&open_directory(layer)?, implied) {
                Ok(lower) => {
                    copy_metadata(&lower, &directory)?;
                    break;
                }
                Err(Errno::NOENT) => {}
                // The lower layer has a file or a whiteout there: the directory is new.
                Err(_) => break,
            }
        }
    }
    Ok(())
}
