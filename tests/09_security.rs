//! Step 9: a container may do what it needs, and nothing that reaches the host.
//!
//! Except where a test is about the network, the containers have none: no test changes
//! the machine's network.

use kiste_tests::{Fixture, Ran, Running, Step, User, rootfs, step};

#[path = "09_security/attacks.rs"]
mod attacks;
#[path = "09_security/capabilities.rs"]
mod capabilities;
#[path = "09_security/devices.rs"]
mod devices;
#[path = "09_security/explain.rs"]
mod explain;
#[path = "09_security/groups.rs"]
mod groups;
#[path = "09_security/masks.rs"]
mod masks;
#[path = "09_security/new_privileges.rs"]
mod new_privileges;
#[path = "09_security/options.rs"]
mod options;
#[path = "09_security/privileged.rs"]
mod privileged;
#[path = "09_security/rlimits.rs"]
mod rlimits;
#[path = "09_security/rootless.rs"]
mod rootless;
#[path = "09_security/seccomp.rs"]
mod seccomp;
#[path = "09_security/seccomp_show.rs"]
mod seccomp_show;
#[path = "09_security/sysctls.rs"]
mod sysctls;

/// A command that runs until the test ends it.
const SLEEP: [&str; 2] = ["sleep", "300"];

fn this_step() -> Step {
    step!("09-security")
}

/// Returns a fixture for root.
fn root() -> Option<Fixture> {
    let fixture = Fixture::of(this_step(), &["root", "pivot-root", "seccomp"])?;
    // Its words and exit codes; and a copy of the host's tools has no mount and no ip.
    rootfs::has_program("busybox").then_some(fixture)
}

/// Returns an ordinary user without subordinate ids.
fn any_user() -> Option<User> {
    let user = User::any(this_step(), &["pivot-root", "user-namespace", "seccomp"])?;
    rootfs::has_program("busybox").then_some(user)
}

fn without_network<'a>(options: &[&'a str]) -> Vec<&'a str> {
    [&["--network", "none"], options].concat()
}

/// Runs a shell script in a container without a network.
fn sh(fixture: &Fixture, options: &[&str], script: &str) -> Ran {
    fixture.sh(&without_network(options), script)
}

/// Starts a container without a network.
fn start(fixture: &Fixture, options: &[&str]) -> Running {
    fixture.start(&without_network(options), &SLEEP)
}
