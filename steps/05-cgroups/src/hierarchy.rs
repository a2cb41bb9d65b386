//! The cgroup hierarchies of this host, and the controllers in each.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::read_kernel_file;

use crate::controller::{Controller, Version};
use crate::mountinfo::{self, Mount};

/// A hierarchy that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    version: Version,
    mount_point: PathBuf,
    controllers: BTreeSet<Controller>,
    own: Option<PathBuf>,
    /// See [`Hierarchy::base`].
    base: PathBuf,
}

impl Hierarchy {
    /// Returns the version of cgroups.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the directory of the top cgroup, or of the topmost that this process can
    /// see.
    pub fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// Returns whether `controller` is in this hierarchy.
    pub fn holds(&self, controller: Controller) -> bool {
        self.controllers.contains(&controller)
    }

    /// Returns whether any controller is in this hierarchy.
    pub(crate) fn has_controllers(&self) -> bool {
        !self.controllers.is_empty()
    }

    /// Returns the directory of the cgroup that the calling process is in, if the
    /// process can see it.
    pub fn own(&self) -> Option<&Path> {
        self.own.as_deref()
    }

    /// Returns the cgroup below which we may make others: the top, or without root a
    /// cgroup that is delegated to us.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// Returns the part of this hierarchy from `base` down, with the controllers that
    /// are enabled there.
    pub(crate) fn below(
        &self,
        base: PathBuf,
        controllers: BTreeSet<Controller>,
    ) -> Self {
        Hierarchy { base, controllers, ..self.clone() }
    }

    fn of(mount: &Mount, own_cgroups: &str) -> Self {
        let controllers = match mount.version {
            Version::V1 => {
                Controller::named(mount.options.iter().map(String::as_str), Version::V1)
            }
            Version::V2 => BTreeSet::new(),
        };
        // proc_pid_cgroup(5): the path begins at the hierarchy's root, while the mount
        // shows only the part below `root`.
        let below = own_cgroup(own_cgroups, mount).and_then(|path| {
            path.strip_prefix(&mount.root).map(Path::to_path_buf).ok()
        });
        // `components` drops the slash that `join` adds for an empty path.
        let own =
            below.map(|below| mount.mount_point.join(below).components().collect());
        let mount_point = mount.mount_point.clone();
        Hierarchy {
            version: mount.version,
            base: mount_point.clone(),
            mount_point,
            controllers,
            own,
        }
    }
}

/// Returns the path in the line of /proc/self/cgroup for the hierarchy of `mount`:
/// `4:cpu,cpuacct:/a` or `0::/a`.
fn own_cgroup<'a>(own_cgroups: &'a str, mount: &Mount) -> Option<&'a Path> {
    own_cgroups.lines().find_map(|line| {
        let [id, names, path] = line.splitn(3, ':').collect::<Vec<_>>()[..] else {
            return None;
        };
        let its = match mount.version {
            Version::V2 => id == "0",
            Version::V1 => {
                id != "0"
                    && names
                        .split(',')
                        .all(|name| mount.options.iter().any(|its| its == name))
            }
        };
        its.then_some(Path::new(path))
    })
}

/// The hierarchies of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchies(Vec<Hierarchy>);

impl FromIterator<Hierarchy> for Hierarchies {
    fn from_iter<I: IntoIterator<Item = Hierarchy>>(hierarchies: I) -> Self {
        Hierarchies(hierarchies.into_iter().collect())
    }
}

impl Hierarchies {
    /// Finds the hierarchies that are mounted now.
    ///
    /// # Errors
    /// When /proc is not mounted, or a file in it or a mount point cannot be read.
    pub fn detect() -> Result<Self> {
        let read =
            |path| read_kernel_file(path).with_context(|| format!("read {path}"));
        let mut mounts = Vec::new();
        for mount in mountinfo::parse(&read("/proc/self/mountinfo")?) {
            if mount.is_visible()? {
                mounts.push(mount);
            }
        }
        let mut found = Self::of(&mounts, &read("/proc/self/cgroup")?);
        for unified in
            found.0.iter_mut().filter(|hierarchy| hierarchy.version == Version::V2)
        {
            let path = unified.mount_point.join("cgroup.controllers");
            let names = read_kernel_file(&path)
                .with_context(|| format!("read {}", path.display()))?;
            unified.controllers =
                Controller::named(names.split_whitespace(), Version::V2);
        }
        Ok(found)
    }

    /// Finds the hierarchies of `mounts`, version 2 first. If a hierarchy is mounted
    /// several times, the writable mount that shows most of it counts. Hierarchies of
    /// version 1 without a controller of ours (`name=systemd`) are left out.
    fn of(mounts: &[Mount], own_cgroups: &str) -> Self {
        let mut mounts: Vec<_> = mounts.iter().collect();
        mounts.sort_by_key(|mount| {
            (
                mount.version == Version::V1,
                mount.access,
                mount.root.components().count(),
            )
        });
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        for hierarchy in
            mounts.into_iter().map(|mount| Hierarchy::of(mount, own_cgroups))
        {
            let concerns =
                hierarchy.version == Version::V2 || !hierarchy.controllers.is_empty();
            let known = hierarchies.iter().any(|other| {
                other.version == hierarchy.version
                    && other.controllers == hierarchy.controllers
            });
            if concerns && !known {
                hierarchies.push(hierarchy);
            }
        }
        Hierarchies(hierarchies)
    }

    /// Finds the hierarchies in recorded files of /proc.
    #[cfg(test)]
    pub(crate) fn recorded(mountinfo: &str, own_cgroups: &str) -> Self {
        Self::of(&mountinfo::parse(mountinfo), own_cgroups)
    }

    /// Returns all hierarchies, the unified one first.
    pub fn iter(&self) -> impl Iterator<Item = &Hierarchy> {
        self.0.iter()
    }

    /// Returns the unified hierarchy. On a hybrid host it may hold no controllers; it
    /// freezes and kills all the same.
    pub fn unified(&self) -> Option<&Hierarchy> {
        self.0.iter().find(|hierarchy| hierarchy.version == Version::V2)
    }

    /// Returns the hierarchy that holds `controller`.
    pub fn holding(&self, controller: Controller) -> Option<&Hierarchy> {
        self.0.iter().find(|hierarchy| hierarchy.holds(controller))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hierarchies: &Hierarchies, controller: Controller) -> Option<&Path> {
        hierarchies.holding(controller).map(Hierarchy::mount_point)
    }

    #[test]
    fn debian_12_has_one_hierarchy() {
        let host = Hierarchies::recorded(
            include_str!("recorded/debian-12.mountinfo"),
            "0::/user.slice/user-0.slice/session-1.scope\n",
        );
        let [unified] = &host.0[..] else { panic!("{host:?}") };
        assert_eq!(
            (unified.version, unified.mount_point()),
            (Version::V2, Path::new("/sys/fs/cgroup"))
        );
        assert_eq!(
            unified.own(),
            Some(Path::new("/sys/fs/cgroup/user.slice/user-0.slice/session-1.scope"))
        );
    }

    #[test]
    fn a_hybrid_host_without_systemd_has_one_for_each_controller() {
        let host = Hierarchies::recorded(
            include_str!("recorded/hybrid.mountinfo"),
            include_str!("recorded/hybrid.cgroup"),
        );
        assert_eq!(
            host.unified().map(Hierarchy::mount_point),
            Some(Path::new("/sys/fs/cgroup/unified"))
        );
        assert_eq!(at(&host, Controller::Io), Some(Path::new("/sys/fs/cgroup/blkio")));
        let memory = host.holding(Controller::Memory).unwrap();
        assert_eq!(memory.own(), Some(Path::new("/sys/fs/cgroup/memory/session/1")));
        // Without devices and name=systemd, which limit nothing here.
        assert_eq!(host.0.len(), 8);
    }

    #[test]
    fn ubuntu_with_hybrid_systemd_mounts_controllers_together() {
        let host = Hierarchies::recorded(
            include_str!("recorded/ubuntu-hybrid.mountinfo"),
            include_str!("recorded/ubuntu-hybrid.cgroup"),
        );
        let cpu = host.holding(Controller::Cpu).unwrap();
        assert_eq!(cpu.mount_point(), Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(cpu.own(), Some(Path::new("/sys/fs/cgroup/cpu,cpuacct/user.slice")));
        assert_eq!(host.holding(Controller::Cpuacct), Some(cpu));
    }

    #[test]
    fn without_the_unified_hierarchy_everything_is_version_1() {
        let only_v1: String = include_str!("recorded/hybrid.mountinfo")
            .lines()
            .filter(|line| !line.contains("cgroup2"))
            .fold(String::new(), |text, line| text + line + "\n");
        let host =
            Hierarchies::recorded(&only_v1, include_str!("recorded/hybrid.cgroup"));
        assert_eq!(host.unified(), None);
        assert!(host.iter().all(|hierarchy| hierarchy.version() == Version::V1));
        assert_eq!(
            at(&host, Controller::Freezer),
            Some(Path::new("/sys/fs/cgroup/freezer"))
        );
    }

    #[test]
    fn in_a_docker_container_its_own_cgroup_is_the_top() {
        let host = Hierarchies::recorded(
            include_str!("recorded/docker-v1.mountinfo"),
            include_str!("recorded/docker-v1.cgroup"),
        );
        let memory = host.holding(Controller::Memory).unwrap();
        assert_eq!(memory.own(), Some(memory.mount_point()));
        assert_eq!(host.unified(), None);
    }

    #[test]
    fn if_a_hierarchy_is_mounted_twice_the_writable_mount_is_used() {
        let text = "50 40 0:30 / /ro ro,nosuid - cgroup2 cgroup ro\n51 40 0:30 / /rw rw - cgroup2 cgroup rw\n";
        assert_eq!(
            Hierarchies::recorded(text, "0::/\n").unified().map(Hierarchy::mount_point),
            Some(Path::new("/rw"))
        );
    }
}
