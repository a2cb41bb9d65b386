//! All that a container may use: the limits of the chapter, and the rest that an OCI
//! configuration can ask for.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use kit::{Failure, FailureKind};

use crate::controller::{Controller, Version};
use crate::device_rules::DeviceRules;
use crate::limits::{Limit, Limits};
use crate::setting::Setting;
use crate::values::Max;

/// The resources of a container: the section `linux.resources` of an OCI configuration
/// ([config-linux.md, "Control groups"](https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#control-groups)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// The limits that have an option in step 5, too.
    pub limits: Limits,
    /// The other limits, in the order in which they are written.
    pub settings: Vec<Setting>,
    /// Files of cgroup version 2, and the values that are written as they are.
    pub unified: BTreeMap<String, String>,
    /// The devices that the processes may open and make. `None` leaves the rules as
    /// they are.
    pub devices: Option<DeviceRules>,
    /// The treatment of a memory limit that is lower than the memory in use.
    pub below_usage: BelowUsage,
}

/// The treatment of a new memory limit that is lower than the memory in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BelowUsage {
    /// The kernel decides. Version 1 refuses the limit. Version 2 accepts it, reclaims
    /// memory and, if that is not enough, kills.
    #[default]
    KernelDecides,
    /// The limit is refused.
    Refuse,
}

impl Resources {
    /// Returns the controllers that the resources need. A limit of 0 or -1 needs one,
    /// too, since a cgroup above may have another default.
    pub(crate) fn controllers(&self) -> BTreeSet<Controller> {
        let settings = self.settings.iter().map(Setting::controller);
        let names = self.unified.keys().filter_map(|file| file.split('.').next());
        let mut needed = self.limits.controllers();
        needed.extend(settings);
        needed.extend(Controller::named(names, Version::V2));
        needed
    }

    /// Checks the rules that the kernel does not check.
    ///
    /// # Errors
    /// The first rule that the resources break.
    pub fn check(&self) -> Result<()> {
        self.limits.check().map_err(Failure::from)?;
        self.settings.iter().try_for_each(Setting::check)?;
        let quota = self.limits.cpus.map(|cpus| cpus.quota);
        let is_too_much = |setting: &&Setting| match (setting, quota) {
            (Setting::CpuBurst(burst), Some(Max::At(quota))) => *burst > quota,
            _ => false,
        };
        match (self.settings.iter().find(is_too_much), quota) {
            (Some(burst), Some(Max::At(quota))) => {
                let what = format!("{burst} is more than {} {quota}", Limit::CpuQuota);
                Err(Failure::new(what).with_kind(FailureKind::Usage).into())
            }
            _ => Ok(()),
        }
    }

    /// Returns the limits in the order in which they are written. Shares of CPU time
    /// mean nothing to an idle cgroup, and the kernel refuses them.
    pub(crate) fn limits_in_order(&self) -> Vec<Limit> {
        let is_idle = self.settings.contains(&Setting::CpuIdle(1));
        let is_written = |limit: &Limit| !(is_idle && *limit == Limit::CpuShares);
        Limit::ALL.into_iter().filter(is_written).collect()
    }
}
