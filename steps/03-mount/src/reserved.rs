//! The files that a mount must not cover: `/`, and the container's view of itself in
//! /proc, /sys and /dev.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use anyhow::{Context, Result};
use kit::Failure;
use rustix::fs::{PROC_SUPER_MAGIC, fstatfs};
use rustix::io::Errno;

use crate::place::Place;
use crate::resolve::{open_path_without_links, open_silently};

/// The directories of the default mounts.
const DEFAULTS: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Refuses a target that a mount must not cover. A process whose root directory is `/`
/// does not see a mount over `/`. /proc, /sys and /dev are the container's view of
/// itself, and its terminal comes from /dev.
///
/// The user may name a file in /sys or /dev, such as /dev/shm. An image may not choose
/// one by a symbolic link at the target of a volume: the mount would cover it.
pub(crate) fn refuse_reserved(
    root: BorrowedFd<'_>,
    path: &Path,
    target: BorrowedFd<'_>,
) -> Result<()> {
    let (root_place, place) = (Place::of(root)?, Place::of(target)?);
    let file_system =
        fstatfs(target).with_context(|| format!("fstatfs({})", path.display()))?;
    let what = if place == root_place {
        "the root itself".into()
    } else if file_system.f_type == PROC_SUPER_MAGIC {
        "what is in /proc".into()
    } else if let Some(default) = find_default(root, |it| it == place)? {
        default.into()
    } else if place.mount == root_place.mount || is_without_links(root, path, place) {
        return Ok(());
    } else {
        let parents = parents_of_mounts()?;
        let is_around = |default: Place| {
            let is_mounted = default.mount != root_place.mount;
            is_mounted && is_below(place.mount, default.mount, &parents)
        };
        match find_default(root, is_around)? {
            Some(default) => format!("a symbolic link leads into {default}, which"),
            None => return Ok(()),
        }
    };
    let path = path.display();
    Err(Failure::new(format_args!("{path}: {what} cannot be mounted over")).into())
}

/// Returns the first of the default mounts for whose place this is true.
fn find_default(
    root: BorrowedFd<'_>,
    is_wanted: impl Fn(Place) -> bool,
) -> Result<Option<&'static str>> {
    for path in DEFAULTS {
        match open_silently(root, Path::new(path)) {
            Ok(directory) if is_wanted(Place::of(directory.as_fd())?) => {
                return Ok(Some(path));
            }
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => Err(error).with_context(|| format!("open {path}"))?,
        }
    }
    Ok(None)
}

/// Tells whether this path leads to this place without a symbolic link. The path may
/// have been exchanged since the place was found.
fn is_without_links(root: BorrowedFd<'_>, path: &Path, place: Place) -> bool {
    let found = open_path_without_links(root, path).ok();
    found.is_some_and(|it| Place::of(it.as_fd()).is_ok_and(|it| it == place))
}

/// Returns the parent of each mount: proc_pid_mountinfo(5), the first two fields.
fn parents_of_mounts() -> Result<HashMap<u64, u64>> {
    let path = "/proc/self/mountinfo";
    // The name of a mount point need not be UTF-8.
    let text = std::fs::read(path).with_context(|| format!("read {path}"))?;
    let parse = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        let mut fields = line.split(' ').map_while(|field| field.parse().ok());
        Some((fields.next()?, fields.next()?))
    };
    Ok(text.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// Tells whether a mount is `above`, or is mounted on it or below it.
fn is_below(mount: u64, above: u64, parents: &HashMap<u64, u64>) -> bool {
    let parent = |mount: &u64| parents.get(mount).copied();
    std::iter::successors(Some(mount), parent)
        .take(parents.len() + 1)
        .any(|mount| mount == above)
}
