//! The table `bridge kiste`: a container sends from its own addresses only.
//!
//! Without it a container with CAP_NET_RAW, which every container has, could send with
//! the addresses of its neighbours, or of any host: services that trust an address
//! would believe it. The filter is at the bridge's ports, since a bridge passes packets
//! between containers without the host's own rules. The port of the bridge identifies
//! the sender.

use std::net::{IpAddr, Ipv6Addr};

use anyhow::Result;

use crate::lease::Lease;
use crate::nft::{Batch, ChainId, Family, Rule};
use crate::rules::TABLE;
use crate::store::NetworkRecord;
use crate::subnet::Subnet;

const CHAIN: &str = "from-containers";

/// linux/netfilter_bridge.h: NF_BR_PRE_ROUTING; and a priority before all others'.
const HOOK: (i32, i32) = (0, -300);

/// Replaces the table, or removes it if there are no networks.
///
/// # Errors
/// The kernel's reason; then the table is as it was.
pub(crate) fn replace_table(networks: &[&NetworkRecord]) -> Result<()> {
    let mut batch = Batch::default();
    // Added first, so that deleting it is no error where it does not exist.
    batch.add_table(Family::Bridge, TABLE);
    batch.delete_table(Family::Bridge, TABLE);
    if networks.is_empty() {
        return batch.commit("the last container is gone", "delete table bridge kiste");
    }
    let chain = ChainId::new(Family::Bridge, TABLE, CHAIN);
    batch.add_table(Family::Bridge, TABLE);
    batch.add_base_chain(&chain, "filter", HOOK.0, HOOK.1);
    let leases = networks.iter().flat_map(|record| &record.leases);
    let rules: Vec<_> = leases.flat_map(lease_rules).collect();
    rules.iter().for_each(|rule| batch.append(&chain, rule));
    let operands = format_args!("table bridge kiste, {} rules", rules.len());
    batch.commit("a container sends from its own addresses only", operands)
}

/// The rules for the packets that arrive through a container's cable.
fn lease_rules(lease: &Lease) -> Vec<Rule> {
    let from = || Rule::with_comment(&lease.id).iifname(&lease.link);
    let mut rules = vec![from().ether_saddr_not(lease.mac).drop()];
    for ip in &lease.addresses {
        rules.push(from().bridged_saddr(Subnet::single(*ip)).return_back());
        match ip {
            IpAddr::V4(ip) => {
                rules.push(from().arp_saddr(lease.mac, *ip).return_back())
            }
            // Neighbour discovery, from a link-local address or before there is one.
            IpAddr::V6(_) => rules.extend(
                [link_local(), Subnet::single(IpAddr::from([0; 16]))]
                    .map(|subnet| from().bridged_saddr(subnet).return_back()),
            ),
        }
    }
    rules.push(from().drop());
    rules
}

/// RFC 4291, 2.5.6.
fn link_local() -> Subnet {
    const { Subnet::v6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10) }
}
