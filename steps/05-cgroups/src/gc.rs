//! Removes the cgroups that a runtime killed with -9 has left behind.

use std::path::Path;

use anyhow::Result;
use kit::{Abandoned, Failure, RunDir};
use rustix::fs::statfs;

use crate::cgroup::Cgroup;
use crate::controller::Version;
use crate::directory::Directory;
use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::placement::is_plain;
use crate::{note, parent};

/// The result of [`gc`].
#[derive(Debug)]
pub struct Collected {
    /// The ids of the containers of which nothing is left.
    pub removed: Vec<String>,
    /// All errors in one. The run directories of the containers concerned are kept for
    /// a later `gc`.
    pub outcome: Result<()>,
}

/// Kills and removes the containers that have no owner and are not alive, and removes
/// their run directories below `run_dirs`. [`kit::liveness`] has the rule for what is
/// alive.
///
/// # Errors
/// When `run_dirs` exists and cannot be read, or when other users can write to it.
pub fn gc(run_dirs: &Path) -> Result<Collected> {
    RunDir::abandoned(run_dirs).map(remove_all)
}

/// Runs `gc` for a few of the run directories beside `run_dir`.
pub(crate) fn gc_nearby(run_dir: &RunDir) -> Result<Collected> {
    run_dir.abandoned_nearby().map(remove_all)
}

fn remove_all(found: Vec<Result<Abandoned>>) -> Collected {
    let (mut removed, mut errors) = (Vec::new(), Vec::new());
    for abandoned in found {
        match abandoned.and_then(remove) {
            Ok(id) => removed.push(id),
            Err(error) => errors.push(error),
        }
    }
    Collected { removed, outcome: kit::combine_errors(errors) }
}

fn remove(abandoned: Abandoned) -> Result<String> {
    let id = abandoned.id();
    // The cgroups are removed first: this also thaws processes, and a frozen process
    // does not end.
    let outcomes = [remove_noted(&abandoned), abandoned.kill_first_process()];
    let errors = outcomes.into_iter().filter_map(Result::err).collect();
    if let Err(error) = kit::combine_errors(errors) {
        abandoned.leave_for_gc();
        return Err(error.context(id));
    }
    Ok(id)
}

/// Kills and removes the cgroups that the container has noted.
///
/// # Errors
/// All errors in one. A noted path that is not a cgroup is an error, and stays.
fn remove_noted(abandoned: &Abandoned) -> Result<()> {
    let hierarchies = Hierarchies::detect()?;
    let (mut own, mut above, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for path in note::read(abandoned)?.into_iter().filter(|path| !is_gone(path)) {
        let list = if path.ends_with(abandoned.id()) { &mut own } else { &mut above };
        match verify(&path, &hierarchies) {
            Ok(hierarchy) => list.push(Directory::existing(hierarchy, path)),
            Err(error) => errors.push(error),
        }
    }
    errors.extend(Cgroup::existing(own).remove().err());
    for parent in above.iter().rev() {
        let top = &parent.hierarchy.mount_point;
        errors.extend(parent::remove_unused(parent.path(), top).err());
    }
    kit::combine_errors(errors)
}

/// Returns whether a path does not exist. After an error other than ENOENT it may
/// exist.
fn is_gone(path: &Path) -> bool {
    path.try_exists().is_ok_and(|exists| !exists)
}

/// Returns the hierarchy that `path` is in. Notes can be forged, so a noted path is
/// removed only if statfs(2) says that it is a cgroup.
fn verify<'a>(path: &Path, hierarchies: &'a Hierarchies) -> Result<&'a Hierarchy> {
    let contains_path = |hierarchy: &&Hierarchy| {
        let rest = path.strip_prefix(&hierarchy.mount_point);
        rest.is_ok_and(|rest| rest.components().next().is_some() && is_plain(rest))
    };
    let hierarchy = hierarchies
        .iter()
        .filter(contains_path)
        .find(|hierarchy| is_cgroup(path, hierarchy.version));
    hierarchy.ok_or_else(|| {
        Failure::new(format!(
            "{}: noted as a cgroup, but it is not one",
            path.display()
        ))
        .into()
    })
}

/// Returns whether `path` is a directory of a cgroup file system: CGROUP_SUPER_MAGIC,
/// CGROUP2_SUPER_MAGIC (linux/magic.h).
fn is_cgroup(path: &Path, version: Version) -> bool {
    let magic = match version {
        Version::V1 => 0x0027_e0eb,
        Version::V2 => 0x6367_7270,
    };
    path.symlink_metadata().is_ok_and(|it| it.is_dir())
        && statfs(path).is_ok_and(|it| it.f_type == magic)
}
