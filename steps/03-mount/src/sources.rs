//! The sources of all requested bind mounts: found in the parent, mounted in the child.

use anyhow::Result;

use crate::attributes::Recursion;
use crate::entry::{Entry, EntrySource};
use crate::request::{Request, Source};
use crate::source::BindSource;

/// A mount that may be a bind mount: a [`Request`] of the command line, or an [`Entry`]
/// of a configuration file.
pub trait Sourced {
    /// The source, if it is a bind mount.
    fn bind_source(&self) -> Option<(&BindSource, Recursion)>;

    /// The source, to record which file is at its path.
    fn bind_source_mut(&mut self) -> Option<&mut BindSource>;
}

impl Sourced for Request {
    fn bind_source(&self) -> Option<(&BindSource, Recursion)> {
        match &self.source {
            Source::Bind(source, recursion) => Some((source, *recursion)),
            _ => None,
        }
    }

    fn bind_source_mut(&mut self) -> Option<&mut BindSource> {
        match &mut self.source {
            Source::Bind(source, _) => Some(source),
            _ => None,
        }
    }
}

impl Sourced for Entry {
    fn bind_source(&self) -> Option<(&BindSource, Recursion)> {
        match &self.source {
            EntrySource::Bind(source, recursion) => Some((source, *recursion)),
            _ => None,
        }
    }

    fn bind_source_mut(&mut self) -> Option<&mut BindSource> {
        match &mut self.source {
            EntrySource::Bind(source, _) => Some(source),
            _ => None,
        }
    }
}

/// In the parent: looks up the sources of the bind mounts.
///
/// # Errors
/// When one is missing, or the caller may not reach it.
pub fn find_sources(requests: &mut [impl Sourced]) -> Result<()> {
    requests
        .iter_mut()
        .filter_map(Sourced::bind_source_mut)
        .try_for_each(BindSource::find)
}

/// In the parent, as root: makes the bind mounts for a child that will not be root on
/// the host. [`bind_sources`] uses such a mount if the child cannot reach its source.
///
/// # Errors
/// The kernel's, from open_tree(2) and mount_setattr(2).
pub fn copy_sources(requests: &[impl Sourced]) -> Result<()> {
    for_each_source(requests, |source, recursion| {
        // An idmapped mount is made by its own function.
        if source.is_made_by_parent() { Ok(()) } else { copy_source(source, recursion) }
    })
}

/// In the parent: makes the bind mount of one source.
pub(crate) fn copy_source(source: &BindSource, recursion: Recursion) -> Result<()> {
    let mount = source.bind_here(recursion)?;
    match source.propagates() {
        true => mount.make_slave()?,
        false => mount.make_private()?,
    }
    source.keep(mount);
    Ok(())
}

/// In the child, before its mounts are isolated: makes the bind mounts below which
/// later mounts of the host are to appear. Isolated mounts could not be their source.
///
/// # Errors
/// As [`bind_sources`].
pub fn bind_propagating(requests: &[impl Sourced]) -> Result<()> {
    for_each_source(requests, |source, recursion| match source.propagates() {
        true => bind_in_child(source, recursion),
        false => Ok(()),
    })
}

/// In the child, once its mounts are isolated and while it still has the caller's user
/// and groups: makes the bind mounts, which [`crate::mount_all`] attaches later.
///
/// # Errors
/// When a source is no longer the file that the caller has found, and the kernel's
/// other errors of open_tree(2).
pub fn bind_sources(requests: &[impl Sourced]) -> Result<()> {
    for_each_source(requests, |source, recursion| match source.propagates() {
        true => Ok(()),
        false => bind_in_child(source, recursion),
    })
}

fn bind_in_child(source: &BindSource, recursion: Recursion) -> Result<()> {
    if source.is_made_by_parent() {
        return Ok(());
    }
    let mount = match (source.take(), source.bind_here(recursion)) {
        // A mount that the child makes itself is preferred: no process inside can clear
        // the attributes that such a mount has from the host.
        (_, Ok(childs)) => childs,
        (Some(parents), Err(_)) => parents,
        (None, Err(error)) => return Err(error),
    };
    source.keep(mount);
    Ok(())
}

fn for_each_source(
    requests: &[impl Sourced],
    mut work: impl FnMut(&BindSource, Recursion) -> Result<()>,
) -> Result<()> {
    requests
        .iter()
        .filter_map(Sourced::bind_source)
        .try_for_each(|(source, recursion)| work(source, recursion))
}
