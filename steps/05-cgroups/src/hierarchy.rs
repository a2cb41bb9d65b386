//! The cgroup hierarchies of this host, and the controllers in each.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::read_kernel_bytes;

use crate::controller::{Controller, Version};
use crate::mountinfo::{self, Mount};

/// A hierarchy that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    pub version: Version,
    /// The top cgroup, or the topmost that this process can see.
    pub mount_point: PathBuf,
    pub controllers: BTreeSet<Controller>,
    /// The cgroup that this process is in, if the process can see it.
    pub own: Option<PathBuf>,
    /// The cgroup below which we may make others: the top, or, without root, a cgroup
    /// that is delegated to us.
    pub base: PathBuf,
}

impl Hierarchy {
    /// Returns whether `controller` is in this hierarchy.
    pub(crate) fn has_controller(&self, controller: Controller) -> bool {
        self.controllers.contains(&controller)
    }

    fn of(mount: &Mount, proc_self_cgroup: &[u8]) -> Self {
        let options = mount.options.iter().map(String::as_str);
        let controllers = match mount.version {
            Version::V1 => Controller::named(options, Version::V1),
            Version::V2 => BTreeSet::new(),
        };
        // proc_pid_cgroup(5): the path begins at the hierarchy's root, while the mount
        // shows only the part below `root`.
        let below_root = own_cgroup(proc_self_cgroup, mount)
            .and_then(|path| path.strip_prefix(&mount.root).ok());
        // `components` drops the slash that `join` adds for an empty path.
        let own =
            below_root.map(|path| mount.mount_point.join(path).components().collect());
        Hierarchy {
            version: mount.version,
            mount_point: mount.mount_point.clone(),
            controllers,
            own,
            base: mount.mount_point.clone(),
        }
    }
}

/// Returns the directory of the cgroup that a process is in, in the unified hierarchy,
/// or `None` when the process has ended or the directory cannot be seen.
pub(crate) fn own_path(unified: &Hierarchy, process: i32) -> Option<PathBuf> {
    let proc_cgroup = read_kernel_bytes(format!("/proc/{process}/cgroup")).ok()?;
    let mounts = mountinfo::parse(&read_kernel_bytes("/proc/self/mountinfo").ok()?);
    let mount = mounts.iter().find(|it| it.mount_point == unified.mount_point)?;
    Hierarchy::of(mount, &proc_cgroup).own
}

/// Returns the path in the line of /proc/self/cgroup for the hierarchy of `mount`:
/// `4:cpu,cpuacct:/a` or `0::/a`.
fn own_cgroup<'a>(proc_self_cgroup: &'a [u8], mount: &Mount) -> Option<&'a Path> {
    proc_self_cgroup.split(|byte| *byte == b'\n').find_map(|line| {
        let fields: Vec<_> = line.splitn(3, |byte| *byte == b':').collect();
        let [id, names, path] = fields[..] else { return None };
        let is_option =
            |name: &[u8]| mount.options.iter().any(|option| option.as_bytes() == name);
        let is_it = match mount.version {
            Version::V2 => id == b"0",
            Version::V1 => {
                id != b"0" && names.split(|byte| *byte == b',').all(is_option)
            }
        };
        is_it.then_some(Path::new(OsStr::from_bytes(path)))
    })
}

/// The hierarchies of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchies(pub Vec<Hierarchy>);

impl Hierarchies {
    /// Finds the hierarchies of the limits that are mounted now.
    ///
    /// # Errors
    /// When /proc is not mounted, or a file in it or a mount point cannot be read.
    pub(crate) fn detect() -> Result<Self> {
        Ok(Self::detect_all()?.of_limits())
    }

    /// Finds the hierarchies that are mounted now, also those of the controllers that
    /// no limit of [`Limits`](crate::Limits) needs, such as devices.
    ///
    /// # Errors
    /// When /proc is not mounted, or a file in it or a mount point cannot be read.
    pub(crate) fn detect_all() -> Result<Self> {
        let read =
            |path| read_kernel_bytes(path).with_context(|| format!("read {path}"));
        let mut mounts = Vec::new();
        for mount in mountinfo::parse(&read("/proc/self/mountinfo")?) {
            if mount.is_visible()? {
                mounts.push(mount);
            }
        }
        let mut found = Self::of(&mounts, &read("/proc/self/cgroup")?);
        for unified in found.0.iter_mut().filter(|it| it.version == Version::V2) {
            let file = unified.mount_point.join("cgroup.controllers");
            unified.controllers = Controller::listed_if_readable(&file)?;
        }
        Ok(found)
    }

    /// Finds the hierarchies of `mounts`, version 2 first. If a hierarchy is mounted
    /// several times, the writable mount that shows most of it is used.
    fn of(mounts: &[Mount], proc_self_cgroup: &[u8]) -> Self {
        let mut mounts: Vec<_> = mounts.iter().collect();
        mounts.sort_by_key(|mount| {
            (
                mount.version == Version::V1,
                mount.access,
                mount.root.components().count(),
            )
        });
        let mut found: Vec<Hierarchy> = Vec::new();
        for mount in mounts {
            let new = Hierarchy::of(mount, proc_self_cgroup);
            let is_ours = new.version == Version::V2 || !new.controllers.is_empty();
            let is_known = found.iter().any(|it| {
                it.version == new.version && it.controllers == new.controllers
            });
            if is_ours && !is_known {
                found.push(new);
            }
        }
        Hierarchies(found)
    }

    /// Leaves out the controllers that no limit needs, and the hierarchies of version 1
    /// that have no other (devices, `name=systemd`).
    fn of_limits(mut self) -> Self {
        for hierarchy in &mut self.0 {
            hierarchy.controllers.retain(|it| Controller::OF_LIMITS.contains(it));
        }
        self.0.retain(|it| it.version == Version::V2 || !it.controllers.is_empty());
        self
    }

    /// Finds the hierarchies of the limits in recorded files of /proc.
    #[cfg(test)]
    pub(crate) fn recorded(mountinfo: &str, proc_self_cgroup: &str) -> Self {
        let mounts = mountinfo::parse(mountinfo.as_bytes());
        Self::of(&mounts, proc_self_cgroup.as_bytes()).of_limits()
    }

    /// Returns all hierarchies, version 2 first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hierarchy> {
        self.0.iter()
    }

    /// Returns the unified hierarchy. On a hybrid host it may have no controllers, but
    /// it can still freeze and kill.
    pub(crate) fn unified(&self) -> Option<&Hierarchy> {
        self.0.iter().find(|hierarchy| hierarchy.version == Version::V2)
    }

    /// Leaves out the hierarchies of version 1.
    pub(crate) fn only_unified(mut self) -> Self {
        self.0.retain(|it| it.version == Version::V2);
        self
    }

    /// Returns the hierarchy that has `controller`.
    pub(crate) fn hierarchy_of(&self, controller: Controller) -> Option<&Hierarchy> {
        self.0.iter().find(|hierarchy| hierarchy.has_controller(controller))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the mount point of the hierarchy that has `controller`.
    fn mount_point_of(hierarchies: &Hierarchies, controller: Controller) -> &str {
        text(&hierarchies.hierarchy_of(controller).unwrap().mount_point)
    }

    fn text(path: &Path) -> &str {
        path.to_str().unwrap()
    }

    #[test]
    fn debian_12_has_one_hierarchy() {
        let host = Hierarchies::recorded(
            include_str!("recorded/debian-12.mountinfo"),
            "0::/user.slice/user-0.slice/session-1.scope\n",
        );
        let [unified] = &host.0[..] else { panic!("{host:?}") };
        assert_eq!(unified.version, Version::V2);
        assert_eq!(text(&unified.mount_point), "/sys/fs/cgroup");
        let own = "/sys/fs/cgroup/user.slice/user-0.slice/session-1.scope";
        assert_eq!(unified.own.as_deref().map(text), Some(own));
    }

    #[test]
    fn a_hybrid_host_without_systemd_has_a_hierarchy_for_each_controller() {
        let host = Hierarchies::recorded(
            include_str!("recorded/hybrid.mountinfo"),
            include_str!("recorded/hybrid.cgroup"),
        );
        assert_eq!(
            text(&host.unified().unwrap().mount_point),
            "/sys/fs/cgroup/unified"
        );
        assert_eq!(mount_point_of(&host, Controller::Io), "/sys/fs/cgroup/blkio");
        let memory = host.hierarchy_of(Controller::Memory).unwrap();
        let own = "/sys/fs/cgroup/memory/session/1";
        assert_eq!(memory.own.as_deref().map(text), Some(own));
        // The devices controller and name=systemd are left out.
        assert_eq!(host.0.len(), 8);
    }

    #[test]
    fn ubuntu_with_hybrid_systemd_mounts_controllers_together() {
        let host = Hierarchies::recorded(
            include_str!("recorded/ubuntu-hybrid.mountinfo"),
            include_str!("recorded/ubuntu-hybrid.cgroup"),
        );
        assert_eq!(
            mount_point_of(&host, Controller::Cpu),
            "/sys/fs/cgroup/cpu,cpuacct"
        );
        let cpu = host.hierarchy_of(Controller::Cpu).unwrap();
        let own = "/sys/fs/cgroup/cpu,cpuacct/user.slice";
        assert_eq!(cpu.own.as_deref().map(text), Some(own));
        assert_eq!(host.hierarchy_of(Controller::Cpuacct), Some(cpu));
    }

    #[test]
    fn without_a_unified_hierarchy_all_hierarchies_are_version_1() {
        let mounts = include_str!("recorded/hybrid.mountinfo").lines();
        let only_v1: Vec<_> = mounts.filter(|line| !line.contains("cgroup2")).collect();
        let proc_self_cgroup = include_str!("recorded/hybrid.cgroup");
        let host = Hierarchies::recorded(&only_v1.join("\n"), proc_self_cgroup);
        assert_eq!(host.unified(), None);
        assert!(host.iter().all(|hierarchy| hierarchy.version == Version::V1));
        assert_eq!(
            mount_point_of(&host, Controller::Freezer),
            "/sys/fs/cgroup/freezer"
        );
    }

    #[test]
    fn in_a_docker_container_its_own_cgroup_is_the_top() {
        let host = Hierarchies::recorded(
            include_str!("recorded/docker-v1.mountinfo"),
            include_str!("recorded/docker-v1.cgroup"),
        );
        let memory = host.hierarchy_of(Controller::Memory).unwrap();
        assert_eq!(memory.own.as_ref(), Some(&memory.mount_point));
        assert_eq!(host.unified(), None);
    }

    #[test]
    fn if_a_hierarchy_is_mounted_twice_the_writable_mount_is_used() {
        let mounts = "50 40 0:30 / /ro ro,nosuid - cgroup2 cgroup ro\n51 40 0:30 / /rw rw - cgroup2 cgroup rw\n";
        let host = Hierarchies::recorded(mounts, "0::/\n");
        assert_eq!(text(&host.unified().unwrap().mount_point), "/rw");
    }
}
