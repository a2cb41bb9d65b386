//! What every root file system is furnished with: /proc, /sys and /dev.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use mount::inside::{self, Kind};
use mount::{Attributes, Detached, NOSUID_NODEV_NOEXEC, Reach, Request};
use nix::errno::Errno;

use crate::root::Root;
use crate::{dev, sys};

/// The directories that the kernel's own file systems are mounted on.
const PLACES: [&str; 3] = ["/proc", "/sys", "/dev"];

// ANCHOR: furnish
/// Mounts /proc, /sys (read-only) and /dev.
///
/// # Errors
/// When the root's own /proc, /sys or /dev is no ordinary directory, or the kernel
/// refuses.
// Task 4.2: each on a directory of the root's own; a link there would be the image's
// choice.
pub fn furnish(root: &Root) -> Result<()> {
    mount::proc(root.as_fd())?;
    sys()?.attach(&inside::own_directory(root.as_fd(), "/sys")?, "/sys")?;
    dev::mount(root)
}
// ANCHOR_END: furnish

/// /sys, read-only. Who does not own the network namespace whose devices it shows may
/// not mount a new one (step 6), and sees the host's, with all that is mounted on it.
fn sys() -> Result<Detached> {
    let attributes = NOSUID_NODEV_NOEXEC | Attributes::MOUNT_ATTR_RDONLY;
    match Detached::new("sysfs", &[], attributes, "the kernel's devices, to read") {
        Err(error) if kit::errno(&error) == Some(Errno::EPERM) && !owns_network()? => {
            let host = Detached::bind(Path::new("/sys"), Reach::Recursive)?;
            host.set(attributes, Reach::Recursive)?;
            Ok(host)
        }
        made => made,
    }
}

/// Whether the network namespace belongs to our user namespace: user_namespaces(7).
fn owns_network() -> Result<bool> {
    let open = |path: &str| File::open(path).with_context(|| format!("open({path})"));
    let inode = |file: &File| file.metadata().map(|found| (found.dev(), found.ino()));
    let (network, ours) = (open("/proc/self/ns/net")?, open("/proc/self/ns/user")?);
    match sys::owner(network.as_fd()).map(File::from) {
        // Somebody's above us.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
        owner => owner
            .and_then(|owner| Ok(inode(&owner)? == inode(&ours)?))
            .context("ioctl(NS_GET_USERNS)"),
    }
}

/// Makes the places for these and for `requests`, while the root can still be written.
pub(crate) fn make_places(root: BorrowedFd<'_>, requests: &[Request]) -> Result<()> {
    PLACES
        .iter()
        .try_for_each(|place| inside::make(root, Path::new(place), Kind::Directory))?;
    let on_root = |request: &&Request| {
        !PLACES.iter().any(|place| request.target.starts_with(place))
    };
    requests.iter().filter(on_root).try_for_each(|request| request.make_target(root))
}
