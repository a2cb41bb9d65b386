//! The working directory of the command, which is made if it is missing.

use std::path::{Component, Path};

use mount::Request;

use crate::mount_defaults::MOUNT_POINTS;

/// Adds the working directory to the mounts, since it is made as their targets are:
/// while the root file system can be written, and then on the mount that it is below.
/// Docker makes it, too.
pub fn with_workdir(
    mut requests: Vec<Request>,
    workdir: Option<&Path>,
) -> Vec<Request> {
    let path = Path::new("/").join(workdir.unwrap_or(Path::new("")));
    // A path through /proc may lead to a descriptor of the host. Nothing is made there.
    let is_default = MOUNT_POINTS.iter().any(|point| path.starts_with(point));
    let leads_up = path.components().any(|part| part == Component::ParentDir);
    if path != Path::new("/") && !is_default && !leads_up {
        requests.push(Request::directory(&path));
    }
    requests
}
