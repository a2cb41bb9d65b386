//! Step 8: a container has its own network, and reaches other hosts only as its options
//! allow.
//!
//! Every test has its own world (`kiste_tests::World`): network namespaces for a host
//! and for another host, in which all programs start. No test changes the machine's
//! network.

use kiste_tests::{Step, World, step};

#[path = "08_network/bridge.rs"]
mod bridge;
#[path = "08_network/closed_stdout.rs"]
mod closed_stdout;
#[path = "08_network/directory.rs"]
mod directory;
#[path = "08_network/dns.rs"]
mod dns;
#[path = "08_network/etc.rs"]
mod etc;
#[path = "08_network/firewall.rs"]
mod firewall;
#[path = "08_network/hostile.rs"]
mod hostile;
#[path = "08_network/interrupted.rs"]
mod interrupted;
#[path = "08_network/leftovers.rs"]
mod leftovers;
#[path = "08_network/liveness.rs"]
mod liveness;
#[path = "08_network/networks.rs"]
mod networks;
#[path = "08_network/options.rs"]
mod options;
#[path = "08_network/pasta.rs"]
mod pasta;
#[path = "08_network/ports.rs"]
mod ports;
#[path = "08_network/unprivileged.rs"]
mod unprivileged;

fn this_step() -> Step {
    step!("08-network")
}

/// Returns the test's own world: a host, and another host that it can reach.
fn world() -> Option<World> {
    World::of(this_step(), &[])
}

#[test]
fn every_test_that_a_task_names_exists() {
    kiste_tests::tasks::assert_all_tests_exist(&kiste_tests::step!("08-network"));
}
