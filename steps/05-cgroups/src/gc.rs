//! What a `kill -9` of the runtime leaves behind, found by its note and removed.

use std::path::{Path, PathBuf};

use anyhow::Result;
use kit::{Abandoned, Failure, Id, RunDir};
use rustix::fs::statfs;

use crate::cgroup;
use crate::controller::Version;
use crate::directory::Directory;
use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::parent::{self, Parent};

/// The note in the run directory: the cgroups that are about to be made, one a line, in
/// order.
const NOTE: &str = "cgroups";

/// Notes what will be made, before it is.
pub(crate) fn announce(
    hierarchies: &Hierarchies,
    parent: &Parent,
    id: &Id,
    run_dir: &RunDir,
) -> Result<()> {
    let planned = hierarchies.iter().flat_map(|hierarchy| {
        let above = hierarchy.base().join(parent.as_path());
        let mut planned = parent::missing(&above, hierarchy.mount_point());
        planned.push(above.join(id.as_str()));
        planned
    });
    let note: String = planned.map(|path| format!("{}\n", path.display())).collect();
    // Without root there may be none.
    if note.is_empty() { Ok(()) } else { run_dir.note(NOTE, &note) }
}

/// What [`gc`] came to.
#[derive(Debug)]
pub struct Collected {
    /// The ids of the containers of which nothing is left.
    pub removed: Vec<String>,
    /// All that could not be undone, in one; those run directories are kept, for a
    /// later `gc`.
    pub outcome: Result<()>,
}

/// Removes the cgroups of containers whose runtime is dead, with what is alive in them,
/// and their run directories below `run_dirs`. Those of living ones are not touched:
/// their owners hold a lock.
///
/// # Errors
/// When `run_dirs` is there and cannot be read, or when others can write to it.
pub fn gc(run_dirs: &Path) -> Result<Collected> {
    RunDir::abandoned(run_dirs).map(collect_each)
}

/// The same with a few of the run directories beside `run_dir`.
pub(crate) fn gc_nearby(run_dir: &RunDir) -> Result<Collected> {
    run_dir.abandoned_nearby().map(collect_each)
}

fn collect_each(found: Vec<Result<Abandoned>>) -> Collected {
    let (mut removed, mut errors) = (Vec::new(), Vec::new());
    for abandoned in found {
        match abandoned.and_then(collect) {
            Ok(id) => removed.push(id),
            Err(error) => errors.push(error),
        }
    }
    Collected { removed, outcome: kit::combine(errors) }
}

fn collect(abandoned: Abandoned) -> Result<String> {
    let id = abandoned.id();
    if let Err(error) = undo(&abandoned) {
        abandoned.keep();
        return Err(error.context(id));
    }
    Ok(id)
}

/// Kills and removes what one dead runtime noted.
///
/// # Errors
/// All that could not be undone, in one. A noted path that is no cgroup is an error,
/// and is left.
pub fn undo(abandoned: &Abandoned) -> Result<()> {
    let note = abandoned.read(NOTE)?;
    let hierarchies = Hierarchies::detect()?;
    let (mut own, mut above, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for path in note.lines().map(PathBuf::from).filter(|path| !is_gone(path)) {
        let its = if path.ends_with(abandoned.id()) { &mut own } else { &mut above };
        match verify(&path, &hierarchies) {
            Ok(hierarchy) => its.push(Directory::found(hierarchy, path)),
            Err(error) => errors.push(error),
        }
    }
    errors.extend(cgroup::undo(own).err());
    for parent in above.iter().rev() {
        // Killed between mkdir and the mark, it left the parent without: whoever is in
        // it now could not remove it either. ENOENT: that one was the last, and did.
        let _ = parent::mark(parent.path());
        errors.extend(
            parent::remove_unused(parent.path(), parent.hierarchy().mount_point())
                .err(),
        );
    }
    kit::combine(errors)
}

/// What cannot be looked at is not gone.
fn is_gone(path: &Path) -> bool {
    path.try_exists().is_ok_and(|there| !there)
}

/// The hierarchy below whose top `path` lies. A note is only a file: what it names is
/// removed only when the kernel says that it is a cgroup (statfs(2)).
fn verify<'a>(path: &Path, hierarchies: &'a Hierarchies) -> Result<&'a Hierarchy> {
    let below = |hierarchy: &&Hierarchy| {
        let rest = path.strip_prefix(hierarchy.mount_point());
        rest.is_ok_and(|rest| {
            rest.components().next().is_some() && parent::is_plain(rest)
        })
    };
    let hierarchy = hierarchies
        .iter()
        .filter(below)
        .find(|hierarchy| is_cgroup(path, hierarchy.version()));
    hierarchy.ok_or_else(|| {
        Failure::new(format!("{}: noted as a cgroup, and is none", path.display()))
            .into()
    })
}

/// Whether `path` is on a cgroup file system: CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC
/// (linux/magic.h).
fn is_cgroup(path: &Path, version: Version) -> bool {
    let magic = match version {
        Version::V1 => 0x0027_e0eb,
        Version::V2 => 0x6367_7270,
    };
    path.symlink_metadata().is_ok_and(|it| it.is_dir())
        && statfs(path).is_ok_and(|it| it.f_type == magic)
}
