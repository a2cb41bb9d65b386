//! The notes in the run directory: the cgroups that a container has, and its first
//! process.

use std::path::PathBuf;

use anyhow::Result;
use kit::{Abandoned, Hint, RunDir};
use nix::unistd::Pid;

use crate::hierarchy::Hierarchies;
use mount::unescape;

use crate::mountinfo::escape;
use crate::parent;
use crate::placement::Placement;

/// The name of the note. Each line is the path of a cgroup, in the order in which the
/// cgroups are made. The paths are escaped as in mountinfo.
const NAME: &str = "cgroups";

/// Notes the cgroups that are about to be made, so that `gc` finds them whatever
/// happens to the runtime.
pub(crate) fn write(
    hierarchies: &Hierarchies,
    placement: &Placement,
    run_dir: &RunDir,
) -> Result<()> {
    let planned = hierarchies.iter().flat_map(|hierarchy| {
        let above = hierarchy.base.join(placement.parent.as_path());
        let mut planned = parent::missing(&above, &hierarchy.mount_point);
        planned.push(hierarchy.base.join(placement.path()));
        planned
    });
    let note: String = planned.map(|path| escape(&path) + "\n").collect();
    // Without root there may be no cgroup to make.
    if note.is_empty() {
        return Ok(());
    }
    let noted = run_dir.note(NAME, &note);
    match noted.as_ref().is_err_and(|error| kit::errno(error).is_none()) {
        true => noted.hint("--cgroup-parent: fewer levels, or shorter names"),
        false => noted,
    }
}

/// Notes the first process of a container, which `gc` kills if it has outlived its
/// runtime: without root there may be no cgroup that lists it. The process does not run
/// the command before it is noted.
///
/// # Errors
/// When the process cannot be examined, or the note cannot be written.
pub fn note_first_process(run_dir: &RunDir, process: Pid) -> Result<()> {
    run_dir.note_first_process(process.as_raw())
}

/// Returns the cgroups that a container without an owner has noted.
///
/// # Errors
/// When the note cannot be read.
pub(crate) fn read(abandoned: &Abandoned) -> Result<Vec<PathBuf>> {
    let note = abandoned.read(NAME)?;
    Ok(note.lines().map(|line| unescape(line.as_bytes())).collect())
}
