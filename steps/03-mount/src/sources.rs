//! The sources of all requested bind mounts: found in the parent, mounted in the child.

use anyhow::Result;

use crate::attributes::Recursion;
use crate::request::{Request, Source};
use crate::source::BindSource;

/// In the parent: looks up the sources of the bind mounts.
///
/// # Errors
/// When one is missing, or the caller may not reach it.
pub fn find_sources(requests: &mut [Request]) -> Result<()> {
    requests.iter_mut().try_for_each(|request| match &mut request.source {
        Source::Bind(source, _) => source.find(),
        _ => Ok(()),
    })
}

/// In the parent, as root: makes the bind mounts for a child that will not be root on
/// the host. [`bind_sources`] uses such a mount if the child cannot reach its source.
///
/// # Errors
/// The kernel's, from open_tree(2) and mount_setattr(2).
pub fn copy_sources(requests: &[Request]) -> Result<()> {
    for_each_source(requests, |source, recursion| {
        let mount = source.bind_here(recursion)?;
        mount.make_private()?;
        source.keep(mount);
        Ok(())
    })
}

/// In the child, once its mounts are isolated and while it still has the caller's user
/// and groups: makes the bind mounts, which [`crate::mount_all`] attaches later.
///
/// # Errors
/// When a source is no longer the file that the caller has found, and the kernel's
/// other errors of open_tree(2).
pub fn bind_sources(requests: &[Request]) -> Result<()> {
    for_each_source(requests, |source, recursion| {
        let mount = match (source.take(), source.bind_here(recursion)) {
            // A mount that the child makes itself is preferred: no process inside can
            // clear the attributes that such a mount has from the host.
            (_, Ok(childs)) => childs,
            (Some(parents), Err(_)) => parents,
            (None, Err(error)) => return Err(error),
        };
        source.keep(mount);
        Ok(())
    })
}

fn for_each_source(
    requests: &[Request],
    mut work: impl FnMut(&BindSource, Recursion) -> Result<()>,
) -> Result<()> {
    requests.iter().try_for_each(|request| match &request.source {
        Source::Bind(source, recursion) => work(source, *recursion),
        _ => Ok(()),
    })
}
