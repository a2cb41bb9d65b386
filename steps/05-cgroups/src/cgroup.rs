//! A container's cgroup, from `mkdir` to `rmdir`.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use kit::{Failure, FailureKind, Hint, Keeper, RunDir};
use nix::errno::Errno;

use crate::controller::{Controller, Version};
use crate::directory::{Directory, unified};
use crate::hierarchy::Hierarchies;
use crate::kill::{kill, kill_one_by_one};
use crate::limits::Limits;
use crate::placement::{Placement, is_plain};
use crate::resources::Resources;
use crate::systemd_unit::SystemdUnit;
use crate::{delegation, freeze, note, v1, v2};

/// A container's cgroup: a directory in each hierarchy of the host. On version 2 there
/// is one hierarchy.
///
/// Dropping a cgroup that [`Cgroup::create`] has made kills the processes in it and
/// removes it, unless [`Cgroup::keep`] was called.
#[derive(Debug)]
pub struct Cgroup {
    directories: Vec<Directory>,
    unified: Option<OwnedFd>,
    at_drop: AtDrop,
    pub(crate) pending: Option<Box<Pending>>,
}

/// The scope that systemd makes once the container has a process. Until then, whatever
/// is at its place belongs to somebody else.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) unit: SystemdUnit,
    pub(crate) resources: Resources,
    pub(crate) is_started: Cell<bool>,
}

/// The fate of a cgroup whose [`Cgroup`] is dropped.
#[derive(Clone, Debug)]
pub(crate) enum AtDrop {
    /// It is removed. If that fails, the run directory is kept: `gc` finds the cgroup by
    /// its note.
    Remove(Keeper),
    Leave,
}

impl Cgroup {
    // ANCHOR: create
    /// Makes `PARENT/ID` in each hierarchy, and writes the limits.
    ///
    /// # Errors
    /// When the limits break a rule of [`Limits::check`], or one cannot be set. The
    /// error names the limit, and has a hint for a host that cannot set it. After an
    /// error, no cgroup is left.
    // Task 5.1: make a directory in each hierarchy, then write the limits, before there
    // is any process. If a step fails, dropping `cgroup` removes the directories.
    pub fn create(
        placement: &Placement,
        limits: &Limits,
        run_dir: &RunDir,
    ) -> Result<Self> {
        limits.check().map_err(Failure::from)?;
        let hierarchies = Hierarchies::usable(placement, &limits.controllers())?;
        require_controllers(&hierarchies, &limits.controllers())?;
        note::write(&hierarchies, placement, run_dir)?;

        // Task 5.1 begins.
        let mut cgroup = Cgroup::new(run_dir.keeper());
        for hierarchy in hierarchies.iter() {
            let path = hierarchy.base.join(placement.path());
            cgroup.directories.push(Directory::make(hierarchy, path)?);
        }
        for directory in &cgroup.directories {
            match directory.version() {
                Version::V2 => v2::limit(directory, limits)?,
                Version::V1 => v1::limit(directory, limits)?,
            }
        }
        cgroup.open_unified()?;
        Ok(cgroup)
    }
    // ANCHOR_END: create

    fn new(run_dir: Keeper) -> Self {
        Cgroup::of(Vec::new(), AtDrop::Remove(run_dir))
    }

    pub(crate) fn of(directories: Vec<Directory>, at_drop: AtDrop) -> Self {
        Cgroup { directories, unified: None, at_drop, pending: None }
    }

    pub(crate) fn push(&mut self, directory: Directory) {
        self.directories.push(directory);
    }

    /// Opens the directory on version 2, for [`Cgroup::as_fd`].
    pub(crate) fn open_unified(&mut self) -> Result<()> {
        self.unified = unified(&self.directories).map(open_directory).transpose()?;
        Ok(())
    }

    /// Finds a cgroup that exists, by its path from the top of each hierarchy. Dropping
    /// it does nothing to the cgroup.
    ///
    /// # Errors
    /// When no hierarchy has such a cgroup, or a hierarchy cannot be examined.
    pub fn find(path: &Path) -> Result<Self> {
        let mut directories = Vec::new();
        for hierarchy in Hierarchies::detect()?.iter().filter(|_| is_plain(path)) {
            let path = hierarchy.mount_point.join(path);
            if path.try_exists().with_context(|| format!("stat {}", path.display()))? {
                directories.push(Directory::existing(hierarchy, path));
            }
        }
        if directories.is_empty() {
            let what = format!("no hierarchy has the cgroup {}", path.display());
            return Err(Failure::new(what).with_kind(FailureKind::NotFound).into());
        }
        let mut cgroup = Cgroup::existing(directories);
        cgroup.open_unified()?;
        Ok(cgroup)
    }

    /// Wraps the directories of a cgroup that exists.
    pub(crate) fn existing(directories: Vec<Directory>) -> Self {
        Cgroup::of(directories, AtDrop::Leave)
    }

    /// Keeps the cgroup and the processes in it. [`Cgroup::find`] finds the cgroup from
    /// now on. `gc` removes it once the container is no longer alive.
    pub fn keep(mut self) {
        self.at_drop = AtDrop::Leave;
    }

    // ANCHOR: admit
    /// Returns the open directory on version 2. clone3(2) with CLONE_INTO_CGROUP starts
    /// the child in it, so that it never runs outside the cgroup.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// Moves the calling process into the cgroup on version 1. The child calls this
    /// function while it is still uid 0 on the host, before it runs any program of the
    /// container. On version 2 the function does nothing.
    ///
    /// # Errors
    /// When a cgroup refuses the process.
    pub fn enter(&self) -> Result<()> {
        if self.pending.is_some() {
            return Ok(()); // `admit` moves it
        }
        for directory in
            self.directories.iter().filter(|it| it.version() == Version::V1)
        {
            // 0 stands for the thread that writes, the only one of the child. `tasks`
            // moves it at once. A write to cgroup.procs waits 5 to 20 ms for all forks
            // of the host (cgroup_procs_write_start in kernel/cgroup/cgroup.c).
            directory
                .write("version 1: enters before anything else", "tasks", 0)
                .hint_on(Errno::ENOSPC, "its cpuset.cpus or cpuset.mems is empty")?;
        }
        Ok(())
    }
    // ANCHOR_END: admit

    /// Freezes all processes in the cgroup, and returns when none of them runs.
    ///
    /// # Errors
    /// When a process is not frozen within 10 seconds. Then all are thawed again.
    pub fn freeze(&self) -> Result<()> {
        freeze::freeze(&self.directories)
    }

    /// Thaws all processes.
    ///
    /// # Errors
    /// When the kernel refuses, or does not thaw them within 10 seconds.
    pub fn thaw(&self) -> Result<()> {
        freeze::thaw(&self.directories)
    }

    /// Kills all processes in the cgroup, frozen ones too, and returns when it is
    /// empty. A fork bomb cannot escape.
    ///
    /// # Errors
    /// When a process does not die within 10 seconds: it is stuck in the kernel.
    pub fn kill(&self) -> Result<()> {
        kill(&self.directories)?;
        kill_one_by_one(&self.directories)
    }

    /// Kills the processes that are left in the cgroup, and removes it with the cgroups
    /// that the container made in it. The last container also removes the parent.
    ///
    /// # Errors
    /// All errors in one. After an error the other cgroups are removed all the same.
    pub fn remove(mut self) -> Result<()> {
        kill_and_remove(std::mem::take(&mut self.directories))
    }

    /// Returns the directories, one for each hierarchy, version 2 first.
    pub fn directories(&self) -> &[Directory] {
        &self.directories
    }

    /// Returns the directory that has the files of `controller`.
    pub(crate) fn directory_of(&self, controller: Controller) -> Option<&Directory> {
        self.directories.iter().find(|directory| directory.has_controller(controller))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if self.pending.as_ref().is_some_and(|pending| !pending.is_started.get()) {
            return;
        }
        self.directories.retain(|directory| !directory.is_adopted());
        if let AtDrop::Remove(run_dir) = &self.at_drop
            // The error that ended the start is the one to report.
            && kill_and_remove(std::mem::take(&mut self.directories)).is_err()
        {
            run_dir.keep();
        }
    }
}

fn kill_and_remove(mut directories: Vec<Directory>) -> Result<()> {
    let mut errors = Vec::from_iter(kill(&directories).err());
    // Most cgroups are empty by now. Only in the others are processes listed.
    directories.retain(|directory| directory.remove_unused().is_err());
    errors.extend(kill_one_by_one(&directories).err());
    errors.extend(directories.iter().filter_map(|directory| directory.remove().err()));
    kit::combine_errors(errors)
}

/// Refuses limits whose controller no hierarchy has, before any cgroup is made.
pub(crate) fn require_controllers(
    hierarchies: &Hierarchies,
    needed: &BTreeSet<Controller>,
) -> Result<()> {
    let is_root = rustix::process::geteuid().is_root();
    if is_root && hierarchies.iter().next().is_none() && !needed.is_empty() {
        let fix = "mount them: `mount -t cgroup2 none /sys/fs/cgroup`";
        return Err(Failure::new("no cgroup file system is mounted").hint(fix).into());
    }
    let is_missing = |it: &Controller| hierarchies.hierarchy_of(*it).is_none();
    let Some(missing) = needed.iter().copied().find(is_missing) else {
        return Ok(());
    };
    let name = missing.name(Version::V2);
    let (what, fix) = if is_root {
        let what =
            format!("no hierarchy has the {name} controller, which a limit needs");
        let fix = "see /proc/cgroups; a parameter such as `cgroup_enable=memory` at boot turns it on, \
                   and `cgroup_no_v1=all` gives all controllers to version 2";
        (what, fix)
    } else {
        let what = format!(
            "the {name} controller, which a limit needs, is not delegated to you"
        );
        (what, delegation::FIX)
    };
    Err(Failure::new(what).hint(fix).into())
}

fn open_directory(directory: &Directory) -> Result<OwnedFd> {
    let path = directory.path();
    kit::call("clone3 starts the child in this cgroup", "open", path.display(), || {
        kit::open_directory(path)
    })
}

#[cfg(test)]
mod tests {
    use kit::Id;

    use super::*;
    use crate::fake::FakeHierarchy;

    #[test]
    fn a_failed_start_leaves_a_cgroup_that_was_there_before() {
        let top = FakeHierarchy::new("adopted");
        let adopted = top.make_cgroup("adopted", &[]);
        let made = top.make_cgroup("made", &[]);
        let mut cgroup = Cgroup::of(Vec::new(), AtDrop::Remove(Keeper::default()));
        cgroup.push(Directory::adopted(&top.unified(), adopted.clone()));
        cgroup.push(Directory::existing(&top.unified(), made.clone()));
        drop(cgroup);
        assert!(adopted.exists() && !made.exists());
    }

    #[test]
    fn a_scope_that_systemd_has_not_made_is_somebody_elses() {
        let top = FakeHierarchy::new("scope");
        let path = top.make_cgroup("somebody.scope", &[]);
        let scope = |is_started| {
            let directory = Directory::existing(&top.unified(), path.clone());
            let mut cgroup =
                Cgroup::of(vec![directory], AtDrop::Remove(Keeper::default()));
            let is_started = Cell::new(is_started);
            let (unit, resources) = (SystemdUnit::default(), Resources::default());
            cgroup.pending = Some(Box::new(Pending { unit, resources, is_started }));
            cgroup
        };
        drop(scope(false));
        assert!(path.exists());
        drop(scope(true));
        assert!(!path.exists());
    }

    /// The cgroup of a failed start: a directory, which can be removed only if it is
    /// empty.
    fn drop_after_failed_start(files: &[(&str, &str)]) -> usize {
        let top = FakeHierarchy::new("drop");
        let path = top.make_cgroup("it", files);
        let run_dirs = tempfile::tempdir().unwrap();
        let run_dir = RunDir::create(run_dirs.path(), &Id::random().unwrap()).unwrap();
        let mut cgroup = Cgroup::new(run_dir.keeper());
        cgroup.directories.push(Directory::existing(&top.unified(), path));
        drop(cgroup);
        drop(run_dir);
        std::fs::read_dir(run_dirs.path()).unwrap().count()
    }

    #[test]
    fn a_failed_start_whose_cgroup_cannot_be_removed_leaves_its_notes_for_gc() {
        assert_eq!(drop_after_failed_start(&[]), 0);
        assert_eq!(drop_after_failed_start(&[("file", "")]), 1);
    }
}
