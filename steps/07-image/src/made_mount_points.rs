//! The mount points that the runtime has made in a container's upper directory, such as
//! /etc/resolv.conf and /proc. The command has not written them, so they belong neither
//! in an image nor in a list of changes. Docker makes them in a layer of its own, which
//! `docker commit` and `docker diff` leave out.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use mount::{Request, Source};
use rustix::fs::{AtFlags, FileType, statat};

use crate::lower_layers::{LowerLayers, open, read_names};
use crate::store::open_directory;

/// Returns the paths at which the runtime mounts files of its own, below the top of the
/// root file system.
pub(crate) fn mount_points(requests: &[Request]) -> Vec<PathBuf> {
    let is_own = |request: &&Request| matches!(request.source, Source::MountPoint);
    let own = requests.iter().filter(is_own).map(|request| request.target.as_path());
    let defaults = pivot_root::MOUNT_POINTS.iter().map(Path::new);
    own.chain(defaults)
        .filter_map(|path| Some(path.strip_prefix("/").ok()?.into()))
        .collect()
}

/// Finds the mount points among `paths` that the runtime has made: those that the
/// `layers` below do not have, and that are still empty. A directory that has only such
/// entries was made for them.
pub(crate) fn find_made(
    upper: &Path,
    layers: &[PathBuf],
    paths: &[PathBuf],
) -> Result<BTreeSet<PathBuf>> {
    let below = LowerLayers::open(layers)?;
    let merged = LowerLayers::open(&[layers, &[upper.into()]].concat())?;
    let upper = open_directory(upper)?;
    let mut made = BTreeSet::new();
    for path in paths {
        let path = follow_links(&merged, path)?;
        for path in path.ancestors().filter(|path| !path.as_os_str().is_empty()) {
            if !is_empty_but_for(&made, &upper, path)? || below.shows(path)? {
                break;
            }
            made.insert(path.to_path_buf());
        }
    }
    Ok(made)
}

/// The maximum number of symbolic links to follow, as in the kernel:
/// path_resolution(7).
const MAX_LINKS: usize = 40;

/// Returns the path that a path leads to: the runtime follows links of the image to make
/// a mount point (`mount::inside::make`).
fn follow_links(layers: &LowerLayers, path: &Path) -> Result<PathBuf> {
    let parts = |path: &Path| {
        path.components().rev().map(|it| it.as_os_str().to_owned()).collect::<Vec<_>>()
    };
    let (mut reached, mut rest, mut links) = (PathBuf::new(), parts(path), 0);
    while let Some(part) = rest.pop() {
        match part.as_bytes() {
            b"/" => reached.clear(),
            b"." => {}
            b".." => drop(reached.pop()),
            _ => {
                reached.push(part);
                if links < MAX_LINKS
                    && let Some(target) = layers.link_target(&reached)?
                {
                    links += 1;
                    reached.pop();
                    rest.extend(parts(&target));
                }
            }
        }
    }
    Ok(reached)
}

/// Tells whether there is an empty file at this path, or a directory with no other
/// entries than these.
fn is_empty_but_for(
    made: &BTreeSet<PathBuf>,
    upper: &OwnedFd,
    path: &Path,
) -> Result<bool> {
    let (above, name) =
        (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default());
    let Ok(above) = open(upper, above) else {
        return Ok(false);
    };
    let Ok(found) = statat(&above, name, AtFlags::SYMLINK_NOFOLLOW) else {
        return Ok(false);
    };
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Ok(found.st_size == 0),
        FileType::Directory => {
            let Ok(directory) = open(upper, path) else {
                return Ok(false);
            };
            let names = read_names(&directory, path)?;
            Ok(names.iter().all(|name| made.contains(&path.join(name))))
        }
        _ => Ok(false),
    }
}
