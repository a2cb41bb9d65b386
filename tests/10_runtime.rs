//! Step 10: the OCI runtime, driven by hand and by engines.

use kiste_tests::{Fixture, step};

#[path = "10_runtime/attacks.rs"]
mod attacks;
#[path = "10_runtime/cgroups.rs"]
mod cgroups;
#[path = "10_runtime/conformance.rs"]
mod conformance;
#[path = "10_runtime/containerd.rs"]
mod containerd;
#[path = "10_runtime/cri.rs"]
mod cri;
#[path = "10_runtime/docker.rs"]
mod docker;
#[path = "10_runtime/doctor.rs"]
mod doctor;
#[path = "10_runtime/engines.rs"]
mod engines;
#[path = "10_runtime/events.rs"]
mod events;
#[path = "10_runtime/exec.rs"]
mod exec;
#[path = "10_runtime/files.rs"]
mod files;
#[path = "10_runtime/help.rs"]
mod help;
#[path = "10_runtime/kill.rs"]
mod kill;
#[path = "10_runtime/killed.rs"]
mod killed;
#[path = "10_runtime/log.rs"]
mod log;
#[path = "10_runtime/one_telling.rs"]
mod one_telling;
#[path = "10_runtime/pause.rs"]
mod pause;
#[path = "10_runtime/podman.rs"]
mod podman;
#[path = "10_runtime/terminal.rs"]
mod terminal;
#[path = "10_runtime/update.rs"]
mod update;

/// Returns a fixture for root.
fn fixture() -> Option<Fixture> {
    if !nix::unistd::geteuid().is_root() {
        kiste_tests::report_missing("root", "the tests of the runtime run as root");
        return None;
    }
    let fixture = Fixture::of(step!("10-runtime"), &[])?;
    // Its words and exit codes; and a copy of the host's tools lacks most of them.
    kiste_tests::rootfs::has_program("busybox").then_some(fixture)
}
