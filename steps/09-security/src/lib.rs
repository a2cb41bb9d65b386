//! Step 9: what the process may do. Root inside a container is root for the kernel
//! until its rights are taken away.
//!
//! - [`Args`] becomes [`Security`]: everything here, as one value.
//! - [`Capabilities`] are the parts of root's rights: capabilities(7).
//! - [`seccomp`] limits the system calls.
//! - [`mask`] and [`make_read_only`] take away files of the kernel.
//! - [`Sysctl`], [`Rlimit`], [`OomScoreAdj`] and [`HostDevice`] are what a container may
//!   ask for in addition.
//! - [`Confinement`] gives up all other rights, in the only order that works.

mod apparmor;
mod args;
mod capabilities;
mod capability_set;
pub mod cli;
mod confinement;
mod devices;
mod doctor;
mod label;
mod masked_paths;
mod oom_score_adj;
mod process_attributes;
mod procfs;
mod rlimits;
pub mod seccomp;
mod security;
mod selinux;
mod sysctls;

use exec::CloneFlags;

pub use apparmor::AppArmorProfile;
pub use args::Args;
pub use capabilities::{
    Capabilities, DEFAULT_CAPABILITIES, default_capabilities, keep_capabilities,
};
pub use capability_set::{Capability, CapabilitySet};
pub use confinement::{Confinement, NoNewPrivs};
pub use devices::{HostDevice, all_devices};
pub use doctor::checks;
pub use masked_paths::{
    default_masked_paths, default_readonly_paths, make_read_only, mask,
};
pub use oom_score_adj::OomScoreAdj;
pub use process_attributes::ProcessAttributes;
pub use rlimits::{Rlimit, refuse_duplicates};
pub use security::{DeviceAccessRule, Security, SysfsAccess};
pub use selinux::SelinuxLabel;
pub use sysctls::Sysctl;

/// Returns the namespace of this step: clone(2), CLONE_NEWTIME. Empty on a kernel that
/// has none: time_namespaces(7).
pub fn time_namespace() -> CloneFlags {
    match std::fs::exists("/proc/self/ns/time") {
        Ok(true) => exec::CLONE_NEWTIME,
        _ => CloneFlags::empty(),
    }
}
