//! How much a container may use, and how to get hold of all its processes at once.
//!
//! A *cgroup* is a directory in a file system that the kernel fills with files: `mkdir`
//! makes one, writing into its files limits it, reading them tells what it used,
//! `rmdir` removes it. A tree of cgroups is a *hierarchy*; a *controller* (memory, cpu,
//! pids, …) lives in exactly one of them. Version 2 has one hierarchy for everything.
//! Version 1 has one for each controller, or for a few.
//!
//! In reading order:
//!
//! - [`Args`] and [`Limits`]: what was asked for.
//! - [`Hierarchies`]: what this host has.
//! - [`Cgroup`]: a container's cgroup, from `mkdir` to `rmdir`. `v2` is the story, `v1`
//!   the same on older hosts.
//! - [`Stats`] and [`Oom`]: what it used, and whether it was too much.
//! - [`unshare_namespace`] and [`Cgroup::show_in`]: what the container sees of all
//!   this.
//! - [`gc`]: what a `kill -9` of the runtime left behind.
//!
//! Kernel documentation: [cgroup
//! v2](https://docs.kernel.org/admin-guide/cgroup-v2.html), [cgroup
//! v1](https://docs.kernel.org/admin-guide/cgroup-v1/index.html), and
//! [cgroups(7)](https://man7.org/linux/man-pages/man7/cgroups.7.html).

mod args;
mod cgroup;
mod cli;
mod controller;
mod cpu_list;
mod cpuset;
mod delegated;
mod directory;
mod doctor;
mod events;
mod freeze;
mod freezer;
mod gc;
mod hierarchy;
mod kill;
mod limits;
mod mountinfo;
mod oom;
mod parent;
mod scope;
mod setting;
mod signals;
mod size;
mod stats;
mod v1;
mod v2;
mod view;
mod weights;

pub use args::Args;
pub use cgroup::Cgroup;
pub use cli::{gc_before_run, gc_command};
pub use controller::{Controller, Version};
pub use cpu_list::CpuList;
pub use directory::Directory;
pub use doctor::doctor;
pub use gc::{Collected, gc, undo};
pub use hierarchy::{Hierarchies, Hierarchy};
pub use limits::{Cpus, Limits, Max, Swap};
pub use oom::Oom;
pub use parent::Parent;
pub use size::Size;
pub use stats::{Cpu, Io, Stats};
pub use view::unshare_namespace;
pub use weights::{BlkioWeight, CpuShares};
