//! Our table, `inet kiste`: which packets may pass, and which addresses are changed.
//!
//! The whole table is replaced in one transaction whenever a container starts or ends.
//! Connections that exist are not interrupted by that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::Result;
use kit::Failure;
use libc::c_int;

use crate::host_changes::SavedSysctl;
use crate::lease::Lease;
use crate::network::{Isolation, Network};
use crate::nft::{self, Batch, ChainId, Family, Rule};
use crate::port::{Port, Protocol};
use crate::store::NetworkRecord;
use crate::subnet::Subnet;

/// The table's name.
pub(crate) const TABLE: &str = "kiste";

/// The base chains in the order in which a packet passes them, each with its type, hook
/// and priority. A `filter` chain accepts or drops packets. A `nat` chain changes
/// addresses, and sees only the first packet of a connection.
const CHAINS: [(&str, &str, c_int, c_int); 6] = [
    (LOOPBACK, "filter", libc::NF_INET_PRE_ROUTING, libc::NF_IP_PRI_RAW),
    ("prerouting", "nat", libc::NF_INET_PRE_ROUTING, libc::NF_IP_PRI_NAT_DST),
    ("output", "nat", libc::NF_INET_LOCAL_OUT, libc::NF_IP_PRI_NAT_DST),
    ("input", "filter", libc::NF_INET_LOCAL_IN, libc::NF_IP_PRI_FILTER),
    ("forward", "filter", libc::NF_INET_FORWARD, libc::NF_IP_PRI_FILTER),
    ("postrouting", "nat", libc::NF_INET_POST_ROUTING, libc::NF_IP_PRI_NAT_SRC),
];
/// `prerouting` and `output` jump to it with packets for the host.
const PUBLISHED: &str = "published";
const LOOPBACK: &str = "loopback";
/// `forward` jumps to it with the packets that it has neither accepted nor dropped.
const BETWEEN_OTHERS: &str = "between-others";
/// `forward` jumps to them with the packets from and to isolated networks.
const TO_NETWORKS: &str = "to-networks";
const FROM_NETWORKS: &str = "from-networks";

/// Rules, each with its chain.
pub(crate) type Rules = Vec<(&'static str, Rule)>;

/// Replaces the table, or removes it if there are no networks.
///
/// # Errors
/// The kernel's reason; then the table is as it was.
pub(crate) fn replace_table(
    owner: &Path,
    networks: &[&NetworkRecord],
    changed: &[SavedSysctl],
) -> Result<()> {
    refuse_other_owner(owner)?;
    let mut batch = Batch::default();
    // Added first, so that deleting it is no error where it does not exist.
    batch.add_table(Family::Inet, TABLE);
    batch.delete_table(Family::Inet, TABLE);
    if networks.is_empty() {
        return batch.commit("the last container is gone", "delete table inet kiste");
    }
    batch.add_table(Family::Inet, TABLE);
    for name in [PUBLISHED, BETWEEN_OTHERS, TO_NETWORKS, FROM_NETWORKS] {
        batch.add_chain(&chain(name));
    }
    for (name, kind, hook, priority) in CHAINS {
        batch.add_base_chain(&chain(name), kind, hook, priority);
    }
    let rules = all_rules(owner, networks, changed);
    for (name, rule) in &rules {
        batch.append(&chain(name), rule);
    }
    batch.commit(
        "which packets may pass",
        format_args!("table inet kiste, {} rules", rules.len()),
    )
}

fn chain(name: &str) -> ChainId {
    ChainId::new(Family::Inet, TABLE, name)
}

/// Tells whether a chain is in our table.
pub(crate) fn is_ours(chain: &ChainId) -> bool {
    chain.family == Family::Inet && chain.table == TABLE
}

/// Refuses to replace the table of another directory of networks, whose rules would be
/// lost. The first rule of the table names the directory.
fn refuse_other_owner(owner: &Path) -> Result<()> {
    let rules = nft::rules_of("is the table ours?", &chain(LOOPBACK))?;
    match rules.first().filter(|rule| rule.comment != comment(owner)) {
        None => Ok(()),
        Some(rule) => {
            let what = format!(
                "the table inet {TABLE} belongs to the networks noted in {}",
                rule.comment
            );
            let hint = "name that directory with --network-dir; if it is gone: \
                        nft delete table inet kiste";
            Err(Failure::new(what).hint(hint).into())
        }
    }
}

/// The last 200 bytes of a path: a comment has room for 255.
fn comment(path: &Path) -> String {
    let shown = path.display().to_string();
    let excess = shown.len().saturating_sub(200);
    shown[shown.ceil_char_boundary(excess)..].into()
}

/// Makes all rules, in order.
pub(crate) fn all_rules(
    owner: &Path,
    networks: &[&NetworkRecord],
    changed: &[SavedSysctl],
) -> Rules {
    let mut rules = loopback(owner);
    rules.extend(reject_ipv6_loopback(networks));
    rules.extend(published(networks));
    rules.extend(networks.iter().flat_map(|record| input(&record.network)));
    rules.extend(forward(networks, changed));
    rules.extend(networks.iter().flat_map(|record| postrouting(&record.network)));
    rules
}

/// Drops packets from and to 127.0.0.1 that arrive on a link. With `route_localnet` the
/// bridge would accept them (CVE-2020-8558).
fn loopback(owner: &Path) -> Rules {
    let from_links = || Rule::with_comment(comment(owner)).iifname_not("lo");
    vec![
        (LOOPBACK, from_links().daddr(loopback_subnet()).drop()),
        (LOOPBACK, from_links().saddr(loopback_subnet()).drop()),
    ]
}

fn loopback_subnet() -> Subnet {
    const { Subnet::v4(Ipv4Addr::new(127, 0, 0, 0), 8) }
}

/// Rejects the host's own connections from ::1 to published ports: IPv6 has no
/// `route_localnet`, so the packets would be lost, and the programs would wait.
fn reject_ipv6_loopback(networks: &[&NetworkRecord]) -> Rules {
    let has_ipv6 = |record: &&&NetworkRecord| record.network.subnet6.is_some();
    let leases = networks.iter().filter(has_ipv6).flat_map(|record| &record.leases);
    let refused = leases.flat_map(|lease| {
        let at_all_addresses = lease.ports.iter().filter(|port| port.ip.is_none());
        at_all_addresses.map(|port| {
            let rule = Rule::with_comment(&lease.id)
                .daddr(Subnet::single(Ipv6Addr::LOCALHOST.into()))
                .dport(port.protocol, port.host);
            ("output", rule.reject(port.protocol))
        })
    });
    refused.collect()
}

// ANCHOR: published
/// Sends packets for a published port of the host to the container's port.
fn published(networks: &[&NetworkRecord]) -> Rules {
    let to_host = |chain| (chain, Rule::default().daddr_is_local().jump(PUBLISHED));
    let mut rules = vec![to_host("prerouting"), to_host("output")];
    for lease in networks.iter().flat_map(|record| &record.leases) {
        for port in &lease.ports {
            let is_family =
                |ip: &&IpAddr| port.ip.is_none_or(|of| of.is_ipv4() == ip.is_ipv4());
            let addresses = lease.addresses.iter().filter(is_family);
            rules.extend(addresses.map(|ip| (PUBLISHED, publish(lease, port, *ip))));
        }
    }
    rules
}

// Task 8.2: from here on the packet has another destination.
fn publish(lease: &Lease, port: &Port, ip: IpAddr) -> Rule {
    let rule = Rule::with_comment(&lease.id);
    let rule = match port.ip {
        Some(own) => rule.daddr(Subnet::single(own)),
        None => rule.nfproto(ip),
    };
    rule.dport(port.protocol, port.host).dnat(ip, port.inside)
}
// ANCHOR_END: published

/// Lets the containers of an internal network reach only the DNS responder of the host,
/// and ping the host.
fn input(network: &Network) -> Rules {
    if network.isolation != Isolation::Internal {
        return Vec::new();
    }
    let from = || Rule::with_comment(&network.name).iifname(&network.bridge);
    let mut rules = Vec::new();
    for gateway in network.gateways() {
        rules.push(("input", from().icmp(gateway).accept()));
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            let to_gateway = from().daddr(Subnet::single(gateway));
            rules.push(("input", to_gateway.dport(protocol, 53).accept()));
        }
    }
    rules.push(("input", from().drop()));
    rules
}

// ANCHOR: forward
/// Decides which packets pass through the host.
fn forward(networks: &[&NetworkRecord], changed: &[SavedSysctl]) -> Rules {
    let mut rules = Vec::new();
    let mut add = |rule| rules.push(("forward", rule));
    let internal =
        |record: &&&NetworkRecord| record.network.isolation == Isolation::Internal;
    for NetworkRecord { network, .. } in networks.iter().filter(internal) {
        let (name, bridge) = (&network.name, &network.bridge);
        add(Rule::with_comment(name).iifname(bridge).oifname_not(bridge).drop());
        add(Rule::with_comment(name).oifname(bridge).iifname_not(bridge).drop());
    }
    isolated(networks).into_iter().for_each(&mut add);
    add(Rule::default().ct_established().accept());
    for NetworkRecord { network, .. } in networks {
        // Other hosts and other networks reach a container at published ports only.
        let (name, bridge) = (&network.name, &network.bridge);
        add(Rule::with_comment(name).oifname(bridge).ct_dnat().accept());
        add(Rule::with_comment(name).oifname(bridge).iifname_not(bridge).drop());
    }
    rules.extend(drop_between_networks(networks));
    rules.extend(drop_between_other_hosts(networks, changed));
    rules
}
// ANCHOR_END: forward

/// Keeps an isolated network and all other networks apart, at published ports as well.
fn isolated(networks: &[&NetworkRecord]) -> Vec<Rule> {
    let all = networks.iter().map(|record| &record.network);
    let isolated = all.filter(|network| network.isolation == Isolation::Isolated);
    let rules = isolated.flat_map(|Network { name, bridge, .. }| {
        let rule = || Rule::with_comment(name);
        [
            rule().iifname(bridge).oifname_not(bridge).jump(TO_NETWORKS),
            rule().oifname(bridge).iifname_not(bridge).jump(FROM_NETWORKS),
        ]
    });
    rules.collect()
}

/// Drops the packets to and from bridges that jump here: a rule for each bridge, and
/// not for each pair of them.
fn drop_between_networks(networks: &[&NetworkRecord]) -> Rules {
    if isolated(networks).is_empty() {
        return Vec::new();
    }
    let bridges = || networks.iter().map(|record| &record.network.bridge);
    let to = bridges().map(|it| (TO_NETWORKS, Rule::default().oifname(it).drop()));
    let from = bridges().map(|it| (FROM_NETWORKS, Rule::default().iifname(it).drop()));
    to.chain(from).collect()
}

/// Drops packets between other hosts, where the host did not forward them before:
/// forwarding was turned on for containers only. These rules have a chain of their own,
/// which a packet from or to a bridge leaves at once: a rule that named all bridges
/// would be longer than the kernel allows.
fn drop_between_other_hosts(
    networks: &[&NetworkRecord],
    changed: &[SavedSysctl],
) -> Rules {
    let bridges = || networks.iter().map(|record| &record.network.bridge);
    let was_off = changed.iter().filter(|saved| saved.before == "0");
    let mut rules = vec![("forward", Rule::default().jump(BETWEEN_OTHERS))];
    let mut add = |rule| rules.push((BETWEEN_OTHERS, rule));
    // `forward` has decided about packets to a bridge; packets from one may pass.
    for bridge in bridges() {
        add(Rule::default().iifname(bridge).return_back());
        add(Rule::default().oifname(bridge).return_back());
    }
    for name in was_off.map(|saved| &saved.name) {
        if name == "ipv6/conf/all/forwarding" {
            add(Rule::default().nfproto(IpAddr::from([0; 16])).drop());
        }
        let link = name
            .strip_prefix("ipv4/conf/")
            .and_then(|rest| rest.strip_suffix("/forwarding"));
        if let Some(link) = link.filter(|link| bridges().all(|name| name != link)) {
            add(Rule::default().nfproto(IpAddr::from([0; 4])).iifname(link).drop());
        }
    }
    rules
}

// ANCHOR: postrouting
/// Gives packets that leave a network the host's address, so that the answers come
/// back.
fn postrouting(network: &Network) -> Rules {
    let (name, bridge) = (&network.name, &network.bridge);
    let mut rules = Vec::new();
    for subnet in network.subnets().map(Subnet::network) {
        if network.isolation != Isolation::Internal {
            rules.push((
                "postrouting",
                Rule::with_comment(name).saddr(subnet).oifname_not(bridge).masquerade(),
            ));
        }
        // A container may ask for a published port of its own network. The answer has
        // to pass the host, which changes the address back.
        let hairpin =
            Rule::with_comment(name).saddr(subnet).daddr(subnet).ct_dnat().masquerade();
        rules.push(("postrouting", hairpin));
    }
    // The host may reach a published port at 127.0.0.1, but the container cannot answer
    // to that address.
    rules.push((
        "postrouting",
        Rule::with_comment(name).saddr(loopback_subnet()).oifname(bridge).masquerade(),
    ));
    rules
}
// ANCHOR_END: postrouting

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_did_not_forward_before_forwards_for_containers_only() {
        let subnet = "10.77.0.1/24".parse().unwrap();
        let network = Network::automatic("kiste", "kiste0".into(), subnet);
        let changed = [
            ("ipv4/conf/kiste0/forwarding", "0"),
            ("ipv4/conf/eth0/forwarding", "0"),
            ("ipv4/conf/eth1/forwarding", "1"),
            ("ipv4/conf/eth2/route_localnet", "0"),
            ("ipv6/conf/all/forwarding", "0"),
        ]
        .map(|(name, before)| SavedSysctl { name: name.into(), before: before.into() });
        let rules = drop_between_other_hosts(
            &[&NetworkRecord { network, leases: Vec::new() }],
            &changed,
        );
        let rule = Rule::default;
        let between_others = [
            rule().iifname("kiste0").return_back(),
            rule().oifname("kiste0").return_back(),
            rule().nfproto(IpAddr::from([0; 4])).iifname("eth0").drop(),
            rule().nfproto(IpAddr::from([0; 16])).drop(),
        ];
        let mut expected = vec![("forward", rule().jump(BETWEEN_OTHERS))];
        expected.extend(between_others.map(|rule| (BETWEEN_OTHERS, rule)));
        assert_eq!(rules, expected);
    }
}
