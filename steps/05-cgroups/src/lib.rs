//! Limits and counts the resources of a container, and freezes or kills all its
//! processes.
//!
//! A *cgroup* is a directory in a file system that the kernel fills with files: `mkdir`
//! makes one, writing into its files limits it, reading them shows what it has used,
//! `rmdir` removes it. A tree of cgroups is a *hierarchy*; a *controller* (memory, cpu,
//! pids, …) lives in exactly one of them. Version 2 has one hierarchy for everything.
//! Version 1 has one for each controller, or for a few.
//!
//! In reading order:
//!
//! - [`Limits`]: the limits, as data. [`Args`] makes them from
//!   options, and `rules` checks them.
//! - `hierarchy`: the hierarchies of this host.
//! - [`Cgroup`]: a container's cgroup, from `mkdir` to `rmdir`. `limit_files` is the
//!   table of limits, `v2` enables controllers, `v1` is for older hosts.
//! - [`Stats`] and [`Oom`]: the resources that it used, and whether memory ran out.
//! - [`unshare_namespace`] and [`Cgroup::show_in`]: the cgroups that a container sees.
//! - [`gc`]: removes the cgroups that a `kill -9` of the runtime left behind.
//!
//! Kernel documentation: [cgroup
//! v2](https://docs.kernel.org/admin-guide/cgroup-v2.html), [cgroup
//! v1](https://docs.kernel.org/admin-guide/cgroup-v1/index.html), and
//! [cgroups(7)](https://man7.org/linux/man-pages/man7/cgroups.7.html).

mod apply;
mod args;
mod at;
mod caller;
mod cgroup;
mod cli;
mod controller;
mod counters;
mod cpuset;
mod deadline;
mod delegation;
mod device;
mod device_allow;
mod device_list;
mod device_program;
mod device_rules;
mod devices;
mod directory;
mod doctor;
mod events;
mod exec_in;
#[cfg(test)]
mod fake;
mod freeze;
mod gc;
mod hierarchy;
mod host_root;
mod kill;
mod limit_files;
mod limits;
mod location;
mod mountinfo;
mod note;
mod oom;
mod oom_events;
mod parent;
mod placement;
mod resources;
mod rules;
mod scope;
mod setting;
mod stats;
mod sys;
mod systemd_unit;
mod unified;
mod v1;
mod v2;
mod values;
mod view;

pub use args::Args;
pub use cgroup::Cgroup;
pub use cli::{doctor, gc_before_run, gc_command};
pub use counters::{
    BlockIoCounters, BlockIoEntry, Counters, CpuCounters, CpuUsage, CpusetCounters,
    HugepageCounters, MemoryCounters, MemoryEntry, PidsCounters, Pressure,
    PressureLine, Throttling,
};
pub use cpuset::CpuList;
pub use device::{Device, DeviceRate};
pub use device_rules::{
    DeviceAccess, DeviceKind, DeviceRule, DeviceRules, DeviceVerdict,
};
pub use directory::Directory;
pub use doctor::check_systemd;
pub use exec_in::SubCgroup;
pub use gc::{Collected, gc};
pub use kit::Size;
pub use limits::{Limit, Limits};
pub use location::{CgroupLocation, CgroupPaths};
pub use note::note_first_process;
pub use oom::Oom;
pub use oom_events::OomEvents;
pub use placement::{CgroupParent, Placement, SessionBus};
pub use resources::{BelowUsage, Resources};
pub use rules::LimitError;
pub use setting::Setting;
pub use stats::{Cpu, Io, Stats};
pub use systemd_unit::{SystemdUnit, UnitProperty};
pub use values::{BlkioWeight, CpuShares, Cpus, Max, Swap};
pub use view::{ViewAccess, unshare_namespace};
