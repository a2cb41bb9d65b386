//! Step 8: a container on a network of its own, which talks, and only as told.
//!
//! Every test has a host and a world of its own (`kiste_tests::World`): network
//! namespaces, in which all is started. The machine's own network is never touched.

use kiste_tests::{Step, World, step};

#[path = "08_network/bridge.rs"]
mod bridge;
#[path = "08_network/closed_stdout.rs"]
mod closed_stdout;
#[path = "08_network/dns.rs"]
mod dns;
#[path = "08_network/etc.rs"]
mod etc;
#[path = "08_network/firewall.rs"]
mod firewall;
#[path = "08_network/hostile.rs"]
mod hostile;
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

/// A host of the test's own, and another one beyond it.
fn world() -> Option<World> {
    World::of(this_step(), &[])
}

#[test]
fn every_test_of_a_task_is_there() {
    kiste_tests::tasks::all_are_here(&kiste_tests::step!("08-network"));
}
