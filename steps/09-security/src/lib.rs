//! Step 9: what the process may do. Root inside a container is root for the kernel
//! until its rights are taken away.
//!
//! - [`Capabilities`] are the parts of root's rights: capabilities(7).
//! - [`seccomp`] limits the system calls.
//! - [`mask`] and [`make_read_only`] hide files of the kernel.
//! - [`Sysctl`], [`Rlimit`] and [`OomScoreAdj`] are settings of the container.
//! - [`Confinement`] gives up everything else, in the only order that works.

mod apparmor;
mod capabilities;
mod capability_set;
mod confinement;
mod masked_paths;
mod oom_score_adj;
mod rlimits;
pub mod seccomp;
mod sysctls;

pub use apparmor::AppArmorProfile;
pub use capabilities::{Capabilities, DEFAULT_CAPABILITIES, keep_capabilities};
pub use capability_set::{Capability, CapabilitySet};
pub use confinement::{Confinement, NoNewPrivs};
pub use masked_paths::{
    default_masked_paths, default_readonly_paths, make_read_only, mask,
};
pub use oom_score_adj::OomScoreAdj;
pub use rlimits::{Rlimit, refuse_duplicates, set_all as set_rlimits};
pub use sysctls::Sysctl;
