//! A cgroup at a given place, which may exist already: for an OCI runtime.

use std::cell::Cell;
use std::path::PathBuf;
use std::slice;

use anyhow::Result;
use kit::{Failure, FailureKind, Keeper};
use nix::errno::Errno;
use nix::unistd::{Pid, geteuid};

use crate::cgroup::{AtDrop, Cgroup, Pending};
use crate::controller::{Controller, Version};
use crate::directory::{Directory, unified};
use crate::hierarchy::Hierarchy;
use crate::location::CgroupPaths;
use crate::resources::Resources;
use crate::systemd_unit::SystemdUnit;
use crate::{apply, devices, freeze, kill, v1, v2};

impl Cgroup {
    /// Refuses a place where a cgroup has processes or is frozen: it belongs to somebody
    /// else. Until [`Cgroup::at`] has made it, nothing there is the container's.
    ///
    /// # Errors
    /// When it is used, or the hierarchies cannot be examined.
    pub fn require_unused(paths: &CgroupPaths) -> Result<()> {
        let planned = paths.with_hierarchies()?.into_iter();
        planned.filter(|(_, path)| path.exists()).try_for_each(|(hierarchy, path)| {
            require_unused(&Directory::existing(&hierarchy, path))
        })
    }

    /// Makes the cgroup in the planned directories, and applies the resources. A
    /// directory that exists is used if it is empty. Dropping the cgroup kills what is
    /// in the directories that were made, and removes them, unless [`Cgroup::keep`] was
    /// called. If that fails, the run directory of `keeper` is kept.
    ///
    /// # Errors
    /// When the resources break a rule, or cannot be applied; when the cgroup exists
    /// and has processes, or is frozen. After an error no cgroup is left.
    pub fn at(
        paths: &CgroupPaths,
        resources: &Resources,
        keeper: Keeper,
    ) -> Result<Self> {
        resources.check()?;
        Cgroup::require_unused(paths)?;
        let planned = paths.with_hierarchies()?;
        if let Some(unit) = &paths.unit {
            return Ok(Cgroup::in_scope(planned, unit, resources, keeper));
        }
        let needs_none = resources.controllers().is_empty();
        let mut cgroup = Cgroup::of(Vec::new(), AtDrop::Remove(keeper));
        for (hierarchy, path) in planned {
            match path.exists() {
                true => cgroup.push(Directory::adopted(&hierarchy, path)),
                false => match Directory::make(&hierarchy, path) {
                    // A user may make no cgroup here, and needs none.
                    Err(error) if needs_none && is_denied_to_user(&error) => {}
                    made => cgroup.push(made?),
                },
            }
        }
        cgroup.prepare(resources)?;
        cgroup.update(resources)?;
        devices::apply(&cgroup, resources.devices.as_ref())?;
        cgroup.open_unified()?;
        Ok(cgroup)
    }

    /// Opens the cgroup in the directories that exist. Dropping it does nothing to the
    /// cgroup. A cgroup that is gone has no directories, and then all functions do
    /// nothing.
    ///
    /// # Errors
    /// When the hierarchies or a directory cannot be examined.
    pub fn open(paths: &CgroupPaths) -> Result<Self> {
        let existing = paths.with_hierarchies()?.into_iter();
        let existing = existing
            .filter(|(_, path)| path.is_dir())
            .map(|(hierarchy, path)| Directory::existing(&hierarchy, path));
        let mut cgroup = Cgroup::existing(existing.collect());
        cgroup.open_unified()?;
        Ok(cgroup)
    }

    /// Applies new resources to the cgroup of a container that runs, and tells systemd
    /// where it has made the cgroup. The device rules stay as they are.
    ///
    /// # Errors
    /// As [`Cgroup::update`], and when systemd refuses.
    pub fn update_at(paths: &CgroupPaths, resources: &Resources) -> Result<()> {
        if let Some(unit) = &paths.unit {
            resources.check()?;
            unit.update(resources)?;
        }
        Cgroup::open(paths)?.update(resources)
    }

    /// Kills the processes in the cgroup and removes it, and then each cgroup above it
    /// that was made for it and that nobody uses: also where an earlier removal was
    /// interrupted.
    ///
    /// # Errors
    /// As [`Cgroup::open`] and [`Cgroup::remove`].
    pub fn remove_at(paths: &CgroupPaths) -> Result<()> {
        Cgroup::open(paths)?.remove()?;
        let planned = paths.with_hierarchies()?.into_iter();
        planned
            .map(|(hierarchy, path)| Directory::existing(&hierarchy, path))
            .try_for_each(|directory| directory.remove_unused_ancestors())
    }

    /// Returns the cgroup that [`Cgroup::admit`] makes.
    fn in_scope(
        planned: Vec<(Hierarchy, PathBuf)>,
        unit: &SystemdUnit,
        resources: &Resources,
        keeper: Keeper,
    ) -> Self {
        let directory = |(hierarchy, path)| Directory::existing(&hierarchy, path);
        let directories = planned.into_iter().map(directory).collect();
        let mut cgroup = Cgroup::of(directories, AtDrop::Remove(keeper));
        cgroup.pending = Some(Box::new(Pending {
            unit: unit.clone(),
            resources: resources.clone(),
            is_started: Cell::new(false),
        }));
        cgroup
    }

    /// Has systemd start the scope with the container's first process, if systemd makes
    /// the cgroup, and applies the resources. The parent calls this function while the
    /// process waits. In any other case the function does nothing.
    ///
    /// # Errors
    /// When systemd or the kernel refuses.
    pub fn admit(&self, process: Pid) -> Result<()> {
        let Some(Pending { unit, resources, is_started }) = self.pending.as_deref()
        else {
            return Ok(());
        };
        unit.start(process.as_raw(), resources)?;
        is_started.set(true);
        self.require_in_scope(process)?;
        for directory in self.directories() {
            let (hierarchy, path) = (&directory.hierarchy, directory.path());
            if !path.exists() {
                Directory::make(hierarchy, path.into())?;
            }
        }
        self.prepare(resources)?;
        for directory in
            self.directories().iter().filter(|it| it.version() == Version::V1)
        {
            let why = "version 1: systemd may not know this hierarchy";
            directory.write(why, "cgroup.procs", process)?;
        }
        apply::apply(self.directories(), resources)?;
        devices::apply(self, resources.devices.as_ref())
    }

    /// Refuses a scope that systemd has made elsewhere than planned, as a drop-in of the
    /// host may say: its limits would hold nothing.
    fn require_in_scope(&self, process: Pid) -> Result<()> {
        let Some(planned) = unified(self.directories()) else { return Ok(()) };
        let there = kill::processes(slice::from_ref(planned))?;
        if there.iter().any(|it| it.as_raw_nonzero().get() == process.as_raw()) {
            return Ok(());
        }
        let what = format!(
            "systemd did not put the container into {}",
            planned.path().display()
        );
        let hint = "does a drop-in of the unit set its Slice? `systemctl cat` shows it";
        Err(Failure::new(what).hint(hint).into())
    }

    /// Applies new resources to a cgroup that may have processes. The device rules stay
    /// as they are.
    ///
    /// # Errors
    /// When the resources break a rule, or the kernel refuses one. Those that were
    /// applied before stay.
    pub fn update(&self, resources: &Resources) -> Result<()> {
        resources.check()?;
        self.require_controllers(resources)?;
        apply::apply(self.directories(), resources)
    }

    /// Lists the processes in the cgroup and in the cgroups below it, in ascending
    /// order.
    ///
    /// # Errors
    /// When the list of a cgroup cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let found = kill::processes(self.directories())?;
        let mut pids: Vec<_> =
            found.into_iter().map(|pid| pid.as_raw_nonzero().get()).collect();
        pids.sort_unstable();
        Ok(pids)
    }

    /// Sends a signal to every process in the cgroup and in those below it. They are frozen
    /// meanwhile where that is possible, so that none forks and escapes.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn signal(&self, signal: i32) -> Result<()> {
        kill::signal(self.directories(), signal)
    }

    /// Returns whether the processes are frozen, or about to be: the container is paused.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn is_frozen(&self) -> Result<bool> {
        match self.directories() {
            [] => Ok(false), // without root there may be no cgroup
            directories => freeze::is_frozen(directories),
        }
    }

    /// Thaws the processes that version 1 has frozen, so that a SIGKILL that was sent to
    /// them ends them. On version 2 a frozen process can die.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn let_die(&self) -> Result<()> {
        freeze::freezer(self.directories()).map_or(Ok(()), freeze::thaw_tree)
    }

    /// Enables the controllers, and makes a new cpuset ready for processes.
    fn prepare(&self, resources: &Resources) -> Result<()> {
        let needed = resources.controllers();
        for cgroup in self.directories() {
            match cgroup.version() {
                Version::V2 => {
                    v2::enable(cgroup, &needed)?;
                    v2::enable_all(cgroup);
                    v2::require_domain(cgroup)?;
                }
                Version::V1 if cgroup.has_controller(Controller::Cpuset) => {
                    v1::inherit_cpuset(cgroup)?;
                }
                Version::V1 => {}
            }
        }
        Ok(())
    }

    /// Refuses resources whose controllers the cgroup does not have: a limit must never
    /// be left out silently.
    fn require_controllers(&self, resources: &Resources) -> Result<()> {
        let needed = resources.controllers();
        let missing = needed.into_iter().find(|it| self.directory_of(*it).is_none());
        let Some(missing) = missing else { return Ok(()) };
        let name = missing.name(Version::V2);
        let what = format!(
            "the container's cgroup has no {name} controller, which a limit needs"
        );
        Err(Failure::new(what)
            .hint("leave the limit out, or start the container with such a limit")
            .into())
    }
}

/// Refuses a cgroup that another container may use: the resources would be those of
/// both, and `delete` would kill both.
fn require_unused(cgroup: &Directory) -> Result<()> {
    let path = cgroup.path().display();
    let count = kill::processes(std::slice::from_ref(cgroup))?.len();
    let (what, hint) = if count > 0 {
        let what = format!("{path}: the cgroup exists and has {count} processes");
        (what, "choose another cgroupsPath, or delete the container that uses it")
    } else if freeze::is_frozen(std::slice::from_ref(cgroup)).unwrap_or(false) {
        let what = format!("{path}: the cgroup exists and is frozen");
        (what, "choose another cgroupsPath, or remove the cgroup with rmdir")
    } else {
        return Ok(());
    };
    Err(Failure::new(what).hint(hint).with_kind(FailureKind::Conflict).into())
}

fn is_denied_to_user(error: &anyhow::Error) -> bool {
    let reason = kit::errno(error);
    let is_denied = matches!(reason, Some(Errno::EACCES | Errno::EPERM | Errno::EROFS));
    is_denied && !geteuid().is_root()
}
