//! Which hierarchies this host has, and which of them holds which controller.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Id, read_kernel_file};

use crate::controller::{Controller, Version};
use crate::mountinfo::{self, Mount};
use crate::{delegated, scope};

/// One hierarchy, where it is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    version: Version,
    mount_point: PathBuf,
    controllers: BTreeSet<Controller>,
    own: Option<PathBuf>,
    base: PathBuf,
}

impl Hierarchy {
    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The directory of its top cgroup, or of the topmost that can be seen from here.
    pub fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// Whether `controller` is in it.
    pub fn holds(&self, controller: Controller) -> bool {
        self.controllers.contains(&controller)
    }

    /// Whether any controller is in it.
    pub(crate) fn has_controllers(&self) -> bool {
        !self.controllers.is_empty()
    }

    /// The directory of the cgroup in which the calling process is, if it can be seen
    /// from here.
    pub fn own(&self) -> Option<&Path> {
        self.own.as_deref()
    }

    /// The cgroup below which we may make others: the top, or without root one that is
    /// delegated.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    fn of(mount: &Mount, own_cgroups: &str) -> Self {
        let controllers = match mount.version {
            Version::V1 => {
                Controller::named(mount.options.iter().map(String::as_str), Version::V1)
            }
            Version::V2 => BTreeSet::new(),
        };
        // proc_pid_cgroup(5): the path is from the hierarchy's root, the mount shows
        // from `root` on.
        let below = own_cgroup(own_cgroups, mount).and_then(|path| {
            path.strip_prefix(&mount.root).map(Path::to_path_buf).ok()
        });
        // `join` with an empty path would add a slash.
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

/// The line of /proc/self/cgroup for the hierarchy of `mount`: `4:cpu,cpuacct:/a` or
/// `0::/a`.
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

impl Hierarchies {
    /// What is mounted now.
    ///
    /// # Errors
    /// When /proc is not mounted, or a file of it or a mount point cannot be read.
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

    /// Those in which we may make cgroups. Without root that is the unified one, where
    /// a part of it is delegated to us: already, or else by systemd, if limits need it.
    ///
    /// # Errors
    /// As [`Hierarchies::detect`], and what systemd says.
    pub(crate) fn usable(id: &Id, needed: &BTreeSet<Controller>) -> Result<Self> {
        let found = Self::detect()?;
        if rustix::process::geteuid().is_root() {
            return Ok(found);
        }
        let delegated = found.delegated();
        if needed.iter().all(|it| delegated.holding(*it).is_some()) || !scope::has_bus()
        {
            return Ok(delegated);
        }
        scope::enter(id)?;
        Self::detect()?.unified().map_or(Ok(()), scope::become_leaf)?;
        Ok(Self::detect()?.delegated())
    }

    fn delegated(&self) -> Self {
        let unified = self.unified().and_then(|hierarchy| {
            let base = delegated::base(hierarchy)?;
            // What is delegated may be less than what the host has.
            let granted = read_kernel_file(base.join("cgroup.controllers")).ok()?;
            let controllers =
                Controller::named(granted.split_whitespace(), Version::V2);
            Some(Hierarchy { base, controllers, ..hierarchy.clone() })
        });
        Hierarchies(unified.into_iter().collect())
    }

    /// The hierarchies of `mounts`, version 2 first. Of several mounts of one, the
    /// writable one that shows most of it; those of version 1 without a controller of
    /// interest (`name=systemd`) are left out.
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

    /// All of them; the unified one first.
    pub fn iter(&self) -> impl Iterator<Item = &Hierarchy> {
        self.0.iter()
    }

    /// The unified hierarchy. On a hybrid host it may hold no controllers; it freezes
    /// and kills all the same.
    pub fn unified(&self) -> Option<&Hierarchy> {
        self.0.iter().find(|hierarchy| hierarchy.version == Version::V2)
    }

    /// The hierarchy that holds `controller`.
    pub fn holding(&self, controller: Controller) -> Option<&Hierarchy> {
        self.0.iter().find(|hierarchy| hierarchy.holds(controller))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use super::*;

    /// An empty directory that stands for the top of the unified hierarchy; removed at
    /// the end.
    pub(crate) struct Fake(pub PathBuf);

    impl Fake {
        pub(crate) fn new(name: &str) -> Self {
            let path = std::env::temp_dir()
                .join(format!("kiste-cgroups-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Fake(path)
        }

        /// Makes a cgroup with these files.
        pub(crate) fn with(&self, cgroup: &str, files: &[(&str, &str)]) -> PathBuf {
            let path = self.0.join(cgroup);
            fs::create_dir_all(&path).unwrap();
            files
                .iter()
                .for_each(|(file, text)| fs::write(path.join(file), text).unwrap());
            path
        }

        pub(crate) fn mounted(&self, kind: &str, options: &str) -> Hierarchies {
            recorded(
                &format!(
                    "50 40 0:30 / {} rw - {kind} cgroup {options}\n",
                    self.0.display()
                ),
                "0::/\n",
            )
        }

        /// It, with the controllers that its file says it has.
        pub(crate) fn unified(&self) -> Hierarchy {
            let granted = fs::read_to_string(self.0.join("cgroup.controllers"))
                .unwrap_or_default();
            let controllers =
                Controller::named(granted.split_whitespace(), Version::V2);
            Hierarchy { controllers, ..self.mounted("cgroup2", "rw").0[0].clone() }
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn recorded(mountinfo: &str, own_cgroups: &str) -> Hierarchies {
        Hierarchies::of(&mountinfo::parse(mountinfo), own_cgroups)
    }

    fn at(hierarchies: &Hierarchies, controller: Controller) -> Option<&Path> {
        hierarchies.holding(controller).map(Hierarchy::mount_point)
    }

    #[test]
    fn debian_12_has_one_hierarchy() {
        let host = recorded(
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
        let host = recorded(
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
        let host = recorded(
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
        let host = recorded(&only_v1, include_str!("recorded/hybrid.cgroup"));
        assert_eq!(host.unified(), None);
        assert!(host.iter().all(|hierarchy| hierarchy.version() == Version::V1));
        assert_eq!(
            at(&host, Controller::Freezer),
            Some(Path::new("/sys/fs/cgroup/freezer"))
        );
    }

    #[test]
    fn in_a_docker_container_its_own_cgroup_is_the_top() {
        let host = recorded(
            include_str!("recorded/docker-v1.mountinfo"),
            include_str!("recorded/docker-v1.cgroup"),
        );
        let memory = host.holding(Controller::Memory).unwrap();
        assert_eq!(memory.own(), Some(memory.mount_point()));
        assert_eq!(host.unified(), None);
    }

    #[test]
    fn of_two_mounts_of_one_hierarchy_the_writable_one_is_used() {
        let text = "50 40 0:30 / /ro ro,nosuid - cgroup2 cgroup ro\n51 40 0:30 / /rw rw - cgroup2 cgroup rw\n";
        assert_eq!(
            recorded(text, "0::/\n").unified().map(Hierarchy::mount_point),
            Some(Path::new("/rw"))
        );
    }
}
