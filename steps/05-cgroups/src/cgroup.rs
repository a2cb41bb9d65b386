//! A container's cgroup, from `mkdir` to `rmdir`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Result;
use kit::{Failure, Id, RunDir};
use rustix::fs::{Mode, OFlags};

use crate::controller::{Controller, Version};
use crate::directory::Directory;
use crate::gc;
use crate::hierarchy::Hierarchies;
use crate::kill::kill;
use crate::limits::Limits;
use crate::parent::Parent;
use crate::signals::kill_each;
use crate::{delegated, freeze, v1, v2};

/// A container's cgroup: a directory in each hierarchy of the host; on version 2 that
/// is one.
///
/// Whoever holds it owns it: dropping it kills what is in it and removes it.
#[derive(Debug)]
pub struct Cgroup {
    directories: Vec<Directory>,
    unified: Option<OwnedFd>,
}

impl Cgroup {
    // ANCHOR: create
    /// Makes `PARENT/ID` in each hierarchy, and writes the limits.
    ///
    /// # Errors
    /// When a limit cannot be set, with the controller, the file and the mend. Nothing
    /// is left then.
    // Task 5.1: a directory in each hierarchy, then the limits, before there is any
    // process. Whatever fails below: dropping `cgroup` removes what was made.
    pub fn create(
        parent: &Parent,
        id: &Id,
        limits: &Limits,
        run_dir: &RunDir,
    ) -> Result<Self> {
        let hierarchies = Hierarchies::usable(id, &limits.controllers())?;
        require(&hierarchies, limits)?;
        gc::announce(&hierarchies, parent, id, run_dir)?;

        let mut cgroup = Cgroup { directories: Vec::new(), unified: None };
        for hierarchy in hierarchies.iter() {
            let path = hierarchy.base().join(parent.as_path()).join(id.as_str());
            cgroup.directories.push(Directory::make(hierarchy, path)?);
        }
        for directory in &cgroup.directories {
            match directory.hierarchy().version() {
                Version::V2 => v2::limit(directory, limits)?,
                Version::V1 => v1::limit(directory, limits)?,
            }
        }
        cgroup.unified = cgroup.directory_of(Version::V2).map(open).transpose()?;
        Ok(cgroup)
    }
    // ANCHOR_END: create

    // ANCHOR: admit
    /// Version 2: the open directory. clone3(2) with CLONE_INTO_CGROUP starts a child
    /// in it, so that it never runs outside.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// Version 1, in the child: goes in, as root on the host still, and before it runs
    /// anything of the container's. Nothing is left to do on version 2.
    ///
    /// # Errors
    /// When a cgroup does not take it.
    pub fn enter(&self) -> Result<()> {
        for directory in
            self.directories.iter().filter(|it| it.hierarchy().version() == Version::V1)
        {
            // 0 stands for who writes. `tasks` takes a thread, and we have one: that is
            // done at once, while cgroup.procs makes all forks of the host wait first
            // (cgroup_procs_write_start in kernel/cgroup/cgroup.c), for 5 to 20 ms.
            directory.write("version 1: goes in before anything else", "tasks", 0)?;
        }
        Ok(())
    }
    // ANCHOR_END: admit

    /// Stops all processes in it, and returns when they stand still.
    ///
    /// # Errors
    /// When one does not stop within 10 seconds; then all are let go again.
    pub fn freeze(&self) -> Result<()> {
        freeze::freeze(&self.directories)
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// When the kernel refuses, or does not let go within 10 seconds.
    pub fn thaw(&self) -> Result<()> {
        freeze::thaw(&self.directories)
    }

    /// Kills all processes in it, also frozen ones, and returns when none is in it:
    /// they are about to be gone. A fork bomb cannot outrun it.
    ///
    /// # Errors
    /// When one does not die within 10 seconds: it is stuck in the kernel.
    pub fn kill(&self) -> Result<()> {
        kill(&self.directories)?;
        kill_each(&self.directories)
    }

    /// Kills what is left in it and removes it, with the cgroups that the container
    /// made in it, and the parent when it is the last one there.
    ///
    /// # Errors
    /// All that went wrong, in one; what could be removed is removed.
    pub fn remove(mut self) -> Result<()> {
        undo(std::mem::take(&mut self.directories))
    }

    /// Its directories: one for each hierarchy, version 2 first.
    pub fn directories(&self) -> &[Directory] {
        &self.directories
    }

    /// The directory that has the files of `controller`.
    pub(crate) fn holding(&self, controller: Controller) -> Option<&Directory> {
        self.directories
            .iter()
            .find(|directory| directory.hierarchy().holds(controller))
    }

    /// The directory in the unified hierarchy, or the first of version 1.
    pub(crate) fn directory_of(&self, version: Version) -> Option<&Directory> {
        self.directories
            .iter()
            .find(|directory| directory.hierarchy().version() == version)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // An error is on its way already, and says more. What is left is found by `gc`.
        let _ = undo(std::mem::take(&mut self.directories));
    }
}

/// Kills, then removes; goes on past errors.
pub(crate) fn undo(mut directories: Vec<Directory>) -> Result<()> {
    let mut errors = Vec::from_iter(kill(&directories).err());
    // Only of those that are in use is it listed what is in them: most often that is
    // none.
    directories.retain(|directory| directory.remove_unused().is_err());
    errors.extend(kill_each(&directories).err());
    errors.extend(directories.iter().filter_map(|directory| directory.remove().err()));
    kit::combine(errors)
}

/// Every controller that the limits need has to be somewhere, before anything is made.
fn require(hierarchies: &Hierarchies, limits: &Limits) -> Result<()> {
    let is_root = rustix::process::geteuid().is_root();
    if is_root && hierarchies.iter().next().is_none() {
        let mend = "mount them: `mount -t cgroup2 none /sys/fs/cgroup`";
        return Err(Failure::new("no cgroup file system is mounted").hint(mend).into());
    }
    match limits
        .controllers()
        .into_iter()
        .find(|controller| hierarchies.holding(*controller).is_none())
    {
        None => Ok(()),
        Some(missing) if !is_root => {
            let what = format!(
                "the {} controller, which a limit needs, is not delegated to you",
                missing.name(Version::V2)
            );
            Err(Failure::new(what).hint(delegated::MEND).into())
        }
        Some(missing) => {
            let what = format!(
                "no hierarchy has the {} controller, which a limit needs",
                missing.name(Version::V2)
            );
            let mend = "see /proc/cgroups; a parameter such as `cgroup_enable=memory` at boot turns it on, \
                        and `cgroup_no_v1=all` gives all controllers to version 2";
            Err(Failure::new(what).hint(mend).into())
        }
    }
}

fn open(directory: &Directory) -> Result<OwnedFd> {
    let path = directory.path();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    kit::call("clone3 starts the child in this cgroup", "open", path.display(), || {
        rustix::fs::open(path, flags, Mode::empty())
    })
}
