//! The engines that drive the runtime, and the comparison with runc.
//!
//! A scenario is a list of an engine's commands. It runs with runc and then with our
//! runtime, and every command must have the same stdout and the same exit code.

#[path = "engines/containerd.rs"]
pub mod containerd;
#[path = "engines/cri.rs"]
pub mod cri;
#[path = "engines/daemon.rs"]
mod daemon;
#[path = "engines/image.rs"]
pub mod image;
#[path = "engines/place.rs"]
mod place;
#[path = "engines/sandbox.rs"]
mod sandbox;
#[path = "engines/session.rs"]
mod session;

pub use place::Place;
pub use session::{Runtime, Session};

/// A command that says when it is ready and ends when it is told to.
pub const LOOP: &str =
    "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done";

/// Options of `run` that Podman and Docker share: no network, and limits that a root
/// without CAP_SYS_RESOURCE may set.
pub const RUN: [&str; 6] = [
    "--network",
    "none",
    "--ulimit",
    "nofile=1024:1024",
    "--ulimit",
    "nproc=1024:1024",
];
