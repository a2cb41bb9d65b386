//! Step 10: the OCI runtime, driven by hand and by engines.

#[path = "10_runtime/containerd.rs"]
mod containerd;
#[path = "10_runtime/cri.rs"]
mod cri;
#[path = "10_runtime/docker.rs"]
mod docker;
#[path = "10_runtime/engines.rs"]
mod engines;
#[path = "10_runtime/podman.rs"]
mod podman;
