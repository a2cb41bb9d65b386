//! The project's own conformance run: what the runtime specification demands of a
//! runtime on Linux. `conformance/musts.md` lists each demand, with the test that holds
//! it or the reason why none does. The tests run the program from outside on bundles of
//! their own, so that they can try any other runtime as well:
//! `KISTE_BIN=$(which runc) cargo test -p step-10-runtime --test 10_runtime conformance`.

#[path = "conformance/bundle.rs"]
pub mod bundle;
#[path = "conformance/cgroups.rs"]
mod cgroups;
#[path = "conformance/config.rs"]
pub mod config;
#[path = "conformance/console.rs"]
pub mod console;
#[path = "conformance/devices.rs"]
mod devices;
#[path = "conformance/errors.rs"]
mod errors;
#[path = "conformance/features.rs"]
mod features;
#[path = "conformance/hooks.rs"]
mod hooks;
#[path = "conformance/lifecycle.rs"]
mod lifecycle;
#[path = "conformance/mounts.rs"]
mod mounts;
#[path = "conformance/musts.rs"]
mod musts;
#[path = "conformance/namespaces.rs"]
mod namespaces;
#[path = "conformance/net_devices.rs"]
mod net_devices;
#[path = "conformance/process.rs"]
mod process;
#[path = "conformance/seccomp.rs"]
mod seccomp;
#[path = "conformance/state.rs"]
mod state;
