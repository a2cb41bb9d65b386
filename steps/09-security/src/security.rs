//! Everything that limits what a container may do, as one value.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use anyhow::Result;
use cgroups::{DeviceAccess, DeviceRule, DeviceRules, DeviceVerdict};
use exec::CloneFlags;
use mount::{AttributeChange, Attributes, Detached, Recursion, inside};
use nix::errno::Errno;

use crate::capability_set::CapabilitySet;
use crate::confinement::Confinement;
use crate::devices::HostDevice;
use crate::masked_paths::{make_read_only, mask};
use crate::process_attributes::ProcessAttributes;
use crate::sysctls::Sysctl;

/// The rights of a container.
#[derive(Clone, Debug)]
pub struct Security {
    /// The rights of the command when it runs as root.
    pub confinement: Confinement,
    /// Its labels, its resource limits, and its preference when memory runs out.
    pub attributes: ProcessAttributes,
    /// The settings of its namespaces.
    pub sysctls: Vec<Sysctl>,
    /// The host's devices that it has besides those of every container.
    pub devices: Vec<HostDevice>,
    /// Whether it may use no other devices.
    pub device_access: DeviceAccessRule,
    /// The files and directories that it cannot see.
    pub masked_paths: Vec<PathBuf>,
    /// The files and directories that it cannot write.
    pub readonly_paths: Vec<PathBuf>,
    /// Whether it may write the files of /sys.
    pub sysfs: SysfsAccess,
}

/// The devices that a container may open or make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceAccessRule {
    /// The devices of every container, and those of its options.
    Listed,
    /// Every device of the host.
    All,
}

/// Whether a container may write the files of /sys, which are the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SysfsAccess {
    /// Every write fails (EROFS).
    ReadOnly,
    /// As the permissions of the files say.
    ReadWrite,
}

impl Security {
    /// Checks that every setting belongs to one of the container's own namespaces.
    ///
    /// # Errors
    /// When one does not; the error says why.
    pub fn check_sysctls(&self, namespaces: CloneFlags) -> Result<()> {
        self.sysctls.iter().try_for_each(|sysctl| sysctl.check(namespaces))
    }

    // ANCHOR: device_rules
    /// Returns the rules for its cgroup. CAP_MKNOD is among the default capabilities:
    /// without rules, root inside could make a node of the host's disk, and read it.
    pub fn device_rules(&self) -> Option<DeviceRules> {
        let deny_all = DeviceRule {
            verdict: DeviceVerdict::Deny,
            kind: None,
            major: None,
            minor: None,
            access: DeviceAccess::ALL,
        };
        let own = self.devices.iter().filter_map(HostDevice::rule);
        let rules = std::iter::once(deny_all).chain(DeviceRules::defaults()).chain(own);
        match self.device_access {
            DeviceAccessRule::Listed => Some(DeviceRules(rules.collect())),
            DeviceAccessRule::All => None,
        }
    }
    // ANCHOR_END: device_rules

    // ANCHOR: protect
    /// In the child, once everything is mounted in `root`: writes the settings of its
    /// namespaces, makes its devices, and takes away the kernel's files that reach the
    /// host.
    ///
    /// # Errors
    /// When a setting or a device does not exist, and the kernel's.
    pub fn protect(&self, root: BorrowedFd<'_>) -> Result<()> {
        self.sysctls.iter().try_for_each(|sysctl| sysctl.write(root))?;
        self.devices.iter().try_for_each(|device| device.make(root))?;
        if self.sysfs == SysfsAccess::ReadWrite {
            make_sysfs_writable(root)?;
        }
        make_read_only(root, &self.readonly_paths)?;
        mask(root, &self.masked_paths)
    }
    // ANCHOR_END: protect

    /// In the child: returns the rights that the command has as this user. Warns of the
    /// capabilities that the caller cannot give.
    ///
    /// # Errors
    /// The kernel's, from capget(2).
    pub fn confinement(&self, uid: u32) -> Result<Confinement> {
        let asked = self.confinement.capabilities;
        let (granted, lost) = asked.granted()?;
        // --cap-add ALL and --privileged mean all that the caller has.
        if !lost.is_empty() && asked.permitted != CapabilitySet::of_kernel() {
            kit::warn(format_args!(
                "{lost}: the caller does not have it, or the kernel"
            ));
        }
        let capabilities = granted.for_user(uid);
        Ok(Confinement { capabilities, ..self.confinement.clone() })
    }
}

/// Makes /sys writable. In a user namespace the kernel does not allow it, and its files
/// belong to nobody there.
fn make_sysfs_writable(root: BorrowedFd<'_>) -> Result<()> {
    let sys = inside::open_directory_without_links(root, "/sys")?;
    let clear = Attributes::MOUNT_ATTR_RDONLY;
    let change = AttributeChange { clear, ..AttributeChange::NONE };
    let changed = Detached::made(sys, "/sys").set_attributes(change, Recursion::Alone);
    match changed {
        Err(error) if kit::errno(&error) == Some(Errno::EPERM) => Ok(()),
        changed => changed,
    }
}
