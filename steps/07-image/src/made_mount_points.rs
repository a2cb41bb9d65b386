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
use rustix::fs::{AtFlags, FileType, Stat, statat};

use crate::lower_layers::{LowerLayers, open, read_names, split};
use crate::store::open_directory;
use crate::unpack::is_opaque;

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
/// layers `below` do not have, and that are still empty. A directory that has only such
/// entries was made for them, or copied up from the layers below.
pub(crate) fn find_made(
    upper: &Path,
    below: &LowerLayers,
    paths: &[PathBuf],
) -> Result<BTreeSet<PathBuf>> {
    let merged = below.with_highest(open_directory(upper)?);
    let upper = open_directory(upper)?;
    let mut made = BTreeSet::new();
    for path in paths {
        let path = follow_links(&merged, path)?;
        for path in path.ancestors().filter(|path| !path.as_os_str().is_empty()) {
            let Some(found) = find_without_others(&made, &upper, path)? else { break };
            match below.find(path)? {
                Some((_, lower)) if !is_copied_up(&upper, path, &found, &lower) => {
                    break;
                }
                _ => made.insert(path.to_path_buf()),
            };
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

/// Finds the empty file at this path, or the directory with no other entries than
/// these. None if there is another file.
fn find_without_others(
    made: &BTreeSet<PathBuf>,
    upper: &OwnedFd,
    path: &Path,
) -> Result<Option<Stat>> {
    let (above, name) = split(path);
    let found = open(upper, above)
        .and_then(|above| statat(above, name, AtFlags::SYMLINK_NOFOLLOW));
    let Ok(found) = found else { return Ok(None) };
    let is_wanted = match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => found.st_size == 0,
        FileType::Directory => match open(upper, path) {
            Ok(directory) => {
                let names = read_names(&directory, path)?;
                names.iter().all(|name| made.contains(&path.join(name)))
            }
            Err(_) => false,
        },
        _ => false,
    };
    Ok(is_wanted.then_some(found))
}

/// Tells whether overlayfs has copied up a directory without a change. An opaque one
/// hides what is below it.
fn is_copied_up(upper: &OwnedFd, path: &Path, found: &Stat, lower: &Stat) -> bool {
    let properties = |it: &Stat| (it.st_mode, it.st_uid, it.st_gid);
    let is_directory = FileType::from_raw_mode(lower.st_mode) == FileType::Directory;
    is_directory
        && properties(found) == properties(lower)
        && open(upper, path).is_ok_and(|directory| !is_opaque(directory))
}
