//! `show`: the host's links, bridges and containers as a picture in the terminal.

use std::fmt::{Display, Write};

use crate::rules::TABLE;
use crate::status::{Cable, ContainerStatus, NetworkStatus, Topology};

/// Draws the topology.
pub(crate) fn draw(topology: &Topology) -> String {
    let mut picture = String::from("host\n");
    for (name, addresses) in &topology.other_links {
        let _ = writeln!(picture, "├─ {name:<12} {}", joined(addresses));
    }
    for network in &topology.networks {
        draw_network(&mut picture, network);
    }
    draw_rules(&mut picture, topology);
    picture
}

fn draw_network(picture: &mut String, status: &NetworkStatus) {
    let network = &status.network;
    let addresses =
        status.bridge_addresses.as_ref().map_or("(missing)".into(), |it| joined(it));
    let _ = writeln!(
        picture,
        "├─ {:<12} {addresses}   bridge of {}, {}",
        network.bridge,
        network.name,
        network.isolation.name()
    );
    for (index, container) in status.containers.iter().enumerate() {
        let corner = if index + 1 == status.containers.len() { '└' } else { '├' };
        let _ = writeln!(picture, "│  {corner}─ {}", container_line(container));
    }
}

/// The cable, the container and its published ports.
fn container_line(ContainerStatus { lease, cable }: &ContainerStatus) -> String {
    let cable = match cable {
        Cable::Connected => "──",
        Cable::Disconnected => "╌╌ (disconnected)",
        Cable::Missing => "╌╌ (missing)",
    };
    let ports: Vec<_> = lease.ports.iter().map(|port| format!("  {port}")).collect();
    format!(
        "{} {cable} eth0 {}  {} {}{}",
        lease.link,
        joined(&lease.addresses),
        lease.id,
        lease.hostname,
        ports.concat()
    )
}

fn draw_rules(picture: &mut String, topology: &Topology) {
    let _ = writeln!(picture, "└─ table inet {TABLE}: {} rules", topology.rule_count);
    let mut last = "";
    for (chain, rule) in &topology.rules {
        if *chain != last {
            let _ = writeln!(picture, "   {chain}");
            last = chain;
        }
        let _ = writeln!(picture, "     {rule}");
    }
    for obstacle in &topology.obstacles {
        let _ = writeln!(picture, "   another table: {}", obstacle.describe());
    }
}

fn joined(items: &[impl Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
