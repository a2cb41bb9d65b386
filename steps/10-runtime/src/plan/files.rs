//! The files that a container sees: its root, its mounts and its devices.

use std::os::fd::BorrowedFd;
use std::path::Path;

use cgroups::{Cgroup, ViewAccess};
use exec::CloneFlags;
use kit::Result;
use mount::inside::TargetKind;
use mount::{Cover, Entry, ReadOnlyLater};
use oci_spec::runtime::Linux;
use pivot_root::{Access, DeviceNode, Root, RootPropagation, RootView, Rootfs};
use user::Ids;

use crate::config::Config;
use crate::plan::id_maps::IdMaps;
use crate::plan::{CgroupNamespace, Namespaces, devices, invalid, mounts, root};

/// The files that a container sees.
#[derive(Debug)]
pub(crate) struct Files {
    /// Its root file system.
    pub rootfs: Rootfs,
    /// The propagation between its mounts and the host's.
    pub propagation: RootPropagation,
    /// Its mounts, in the order of config.json.
    pub mounts: Vec<Entry>,
    /// The id maps of its idmapped mounts.
    pub id_maps: IdMaps,
    /// Its device nodes; None if its /dev is a bind mount.
    pub devices: Option<Vec<DeviceNode>>,
    /// The most access that a mount of cgroups gives.
    pub cgroups: ViewAccess,
    /// The call that makes its root file system `/`.
    pub root_switch: RootSwitch,
}

/// The call that makes a root file system `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RootSwitch {
    /// pivot_root(2): the host's files are gone.
    PivotRoot,
    /// chroot(2), for a host that runs from its initramfs.
    Chroot,
}

impl Files {
    /// Plans the files of a container, and looks up the sources of its bind mounts.
    ///
    /// # Errors
    /// When a section is invalid, a source is missing, or the mounts would be the
    /// host's.
    pub fn plan(
        config: &Config,
        linux: &Linux,
        bundle: &Path,
        namespaces: &Namespaces,
    ) -> Result<Self> {
        if !namespaces.has(CloneFlags::CLONE_NEWNS) {
            return Err(invalid(
                "linux.namespaces: without a mount namespace its mounts would be the host's",
            ));
        }
        root::check_mount_label(linux)?;
        let propagation = root::propagation(linux)?;
        let mounts = config.mounts.as_deref().unwrap_or_default();
        let mut entries = mounts::mounts(mounts, bundle, propagation.of_sources())?;
        let nodes = linux.devices().as_deref().unwrap_or_default();
        Ok(Files {
            rootfs: root::rootfs(&config.root, bundle)?,
            id_maps: IdMaps::plan(mounts, &mut entries, namespaces)?,
            devices: devices::devices(nodes, &entries)?,
            propagation,
            mounts: entries,
            cgroups: most_access(namespaces),
            root_switch: RootSwitch::PivotRoot,
        })
    }

    /// In the runtime, before the clone: makes the bind mounts that only we may make.
    ///
    /// # Errors
    /// As [`Ids::copy_sources`] and [`IdMaps::copy_sources`].
    pub fn copy_sources(&self, ids: &Ids) -> Result<()> {
        ids.copy_sources(&self.mounts)?;
        self.id_maps.copy_sources(&self.mounts)
    }

    /// Mounts the root where hooks expect it. A chroot(2) wants it over `/`.
    ///
    /// # Errors
    /// When the kernel refuses the mount.
    pub fn open_root(&self, view: &RootView) -> Result<Root> {
        match self.root_switch {
            RootSwitch::PivotRoot => Root::on_its_directory(view),
            RootSwitch::Chroot => Root::of_view(view),
        }
    }

    /// Makes the mounts, and then the devices on them.
    ///
    /// # Errors
    /// As [`pivot_root::mount_entries`] and [`pivot_root::make_devices`].
    pub fn mount(
        &self,
        root: BorrowedFd<'_>,
        cgroup: &Cgroup,
    ) -> Result<ReadOnlyLater> {
        let later = pivot_root::mount_entries(root, &self.mounts, |entry| {
            mount_cgroup(root, entry, cgroup, self.cgroups)
        })?;
        if let Some(devices) = &self.devices {
            pivot_root::make_devices(root, devices)?;
            pivot_root::make_dev_links(root)?;
        }
        Ok(later)
    }

    /// Enters the root. Mounts that were to be read-only, and were not yet, become so.
    ///
    /// # Errors
    /// As [`Root::enter`], and the kernel's.
    pub fn enter(&self, root: Root, later: ReadOnlyLater) -> Result<()> {
        match self.root_switch {
            RootSwitch::PivotRoot => root.enter()?,
            RootSwitch::Chroot => root.enter_by_chroot()?,
        }
        self.propagation.apply()?;
        later.make_read_only()?;
        match self.rootfs.access {
            Access::ReadOnly => pivot_root::make_root_read_only(),
            Access::ReadWrite => Ok(()),
        }
    }
}

/// Mounts the container's cgroup, writable unless config.json says `ro`. In it the
/// container can change only what is below.
fn mount_cgroup(
    root: BorrowedFd<'_>,
    entry: &Entry,
    cgroup: &Cgroup,
    most_access: ViewAccess,
) -> Result<()> {
    entry.open_target(root, Cover::Kernel, TargetKind::Directory)?;
    let access = match entry.options.is_read_only() {
        true => ViewAccess::ReadOnly,
        false => most_access,
    };
    cgroup.mount_at(root, &entry.target.to_string_lossy(), access)
}

/// Returns the most access that a mount of cgroups gives (CVE-2023-25809: without root
/// and without a cgroup namespace, the cgroups of the host's user were writable).
fn most_access(namespaces: &Namespaces) -> ViewAccess {
    let is_own = namespaces.cgroup == CgroupNamespace::New;
    match is_own || !namespaces.has(CloneFlags::CLONE_NEWUSER) {
        true => ViewAccess::ReadWrite,
        false => ViewAccess::ReadOnly,
    }
}
