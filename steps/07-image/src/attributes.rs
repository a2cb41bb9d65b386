//! Extended attributes of files, as a layer keeps them: xattr(7).

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result};
use rustix::fs::{lgetxattr, llistxattr};
use rustix::io::Errno;

/// Tells whether an attribute is one of overlayfs itself. No archive that we write has
/// such attributes.
pub(crate) fn is_overlayfs(name: &[u8]) -> bool {
    name.starts_with(b"user.overlay.") || name.starts_with(b"trusted.overlay.")
}

/// The size of the largest list of names and of the largest value (XATTR_LIST_MAX,
/// XATTR_SIZE_MAX of linux/limits.h).
const LARGEST: usize = 64 * 1024;

/// Reads the attributes of an open directory.
pub(crate) fn of_directory(
    directory: BorrowedFd<'_>,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    of_path(format!("/proc/self/fd/{}/.", directory.as_raw_fd()).as_ref())
}

/// Reads the attributes of the file at a path, or of a symbolic link itself, in the order
/// of their names.
pub(crate) fn of_path(path: &OsStr) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut buffer = vec![0; LARGEST];
    let length = match llistxattr(path, &mut buffer) {
        Err(Errno::OPNOTSUPP) => 0, // this file system has no attributes
        length => length.with_context(|| format!("llistxattr({})", path.display()))?,
    };
    let mut names: Vec<&[u8]> = buffer[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .collect();
    names.retain(|name| !is_overlayfs(name));
    names.sort();
    let mut attributes = Vec::new();
    for name in names {
        let mut value = vec![0; LARGEST];
        match lgetxattr(path, OsStr::from_bytes(name), &mut value) {
            // removed meanwhile, or only root may read it
            Err(Errno::NODATA | Errno::PERM) => {}
            length => {
                value.truncate(
                    length.with_context(|| format!("lgetxattr({})", path.display()))?,
                );
                attributes.push((name.to_vec(), value));
            }
        }
    }
    Ok(attributes)
}
