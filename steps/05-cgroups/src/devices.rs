//! Applies device rules: by a list on version 1, by a BPF program on version 2.

use anyhow::Result;
use kit::Failure;

use crate::cgroup::Cgroup;
use crate::controller::{Controller, Version};
use crate::device_rules::DeviceRules;
use crate::directory::unified;
use crate::host_root::is_root_of_host;
use crate::{device_list, device_program};

impl Cgroup {
    /// Applies device rules to a cgroup that has no processes yet. Without rights on
    /// the host this does nothing: no device can be made in a user namespace.
    ///
    /// # Errors
    /// When the kernel refuses the rules, or no hierarchy has any.
    pub fn limit_devices(&self, rules: Option<&DeviceRules>) -> Result<()> {
        apply(self, rules)
    }
}

/// Applies the rules to a cgroup that has no processes yet.
///
/// Only root of the host may do so. Without it, devices cannot be made at all: mknod(2)
/// fails in a user namespace, and device nodes on its mounts cannot be opened. So there
/// it is no error that the rules cannot be applied.
///
/// # Errors
/// When the kernel refuses the rules, or no hierarchy has any.
pub(crate) fn apply(cgroup: &Cgroup, rules: Option<&DeviceRules>) -> Result<()> {
    let Some(rules) = rules else { return Ok(()) };
    match write(cgroup, rules) {
        Err(_) if !is_root_of_host() => Ok(()),
        written => written,
    }
}

fn write(cgroup: &Cgroup, rules: &DeviceRules) -> Result<()> {
    match cgroup.directory_of(Controller::Devices) {
        Some(list) if list.version() == Version::V1 => device_list::write(rules, list),
        _ => match unified(cgroup.directories()) {
            Some(unified) => device_program::attach(rules, unified),
            None => Err(Failure::new(
                "device rules: no cgroup hierarchy can apply them",
            )
            .hint("mount cgroup version 2: `mount -t cgroup2 none /sys/fs/cgroup`")
            .into()),
        },
    }
}
