//! The one table of ours, `inet kiste`: who may reach whom, and at which address.
//!
//! It is told to the kernel as a whole whenever a container comes or goes, and replaces
//! the one before in one step; connections that are there are not touched by that.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::Result;
use kit::Failure;

use crate::host_changes::SavedSysctl;
use crate::lease::Lease;
use crate::network::{Isolation, Network};
use crate::nft::{Batch, ChainType, Family, Hook, Rule, Ruleset, ct};
use crate::port::{Port, Protocol};
use crate::store::NetworkRecord;
use crate::subnet::Subnet;

/// The table's name.
pub(crate) const TABLE: &str = "kiste";

/// The chains, in the order of a packet's way.
const CHAINS: [(&str, ChainType, Hook); 6] = [
    (LOOPBACK, ChainType::Filter, Hook::Raw),
    ("prerouting", ChainType::Nat, Hook::Prerouting),
    ("output", ChainType::Nat, Hook::Output),
    ("input", ChainType::Filter, Hook::Input),
    ("forward", ChainType::Filter, Hook::Forward),
    ("postrouting", ChainType::Nat, Hook::Postrouting),
];
/// Where `prerouting` and `output` send what is for the host.
const PUBLISHED: &str = "published";

const LOOPBACK: &str = "loopback";

/// The rules, each with its chain.
pub(crate) type Rules = Vec<(&'static str, Rule)>;

/// Has the kernel replace the table; without networks it is removed.
///
/// # Errors
/// What the kernel says; then all is as it was.
pub(crate) fn replace_table(
    owner: &Path,
    networks: &[&NetworkRecord],
    changed: &[SavedSysctl],
) -> Result<()> {
    refuse_another(owner)?;
    let mut batch = Batch::new();
    // Made, if it is not there, so that it can be removed in any case.
    batch.add_table(Family::Inet, TABLE);
    batch.delete_table(Family::Inet, TABLE);
    if networks.is_empty() {
        return batch.commit("the last container is gone", "delete table inet kiste");
    }
    batch.add_table(Family::Inet, TABLE);
    batch.add_chain(Family::Inet, TABLE, PUBLISHED);
    for (name, kind, hook) in CHAINS {
        batch.add_base_chain(Family::Inet, TABLE, name, kind, hook);
    }
    let rules = all(owner, networks, changed);
    for (chain, rule) in &rules {
        batch.append(Family::Inet, TABLE, chain, rule);
    }
    batch.commit(
        "who may reach whom",
        format_args!("table inet kiste, {} rules", rules.len()),
    )
}

/// Two directories of networks would take each other's rules away.
fn refuse_another(owner: &Path) -> Result<()> {
    let ruleset = Ruleset::read("is the table ours?")?;
    let first = ruleset.rules.iter().find(|rule| {
        (rule.family, rule.table.as_str(), rule.chain.as_str())
            == (Family::Inet, TABLE, LOOPBACK)
    });
    match first.filter(|rule| rule.comment != comment(owner)) {
        None => Ok(()),
        Some(rule) => {
            let what = format!(
                "the table inet {TABLE} is that of the networks noted in {}",
                rule.comment
            );
            let mend = "name that directory with --network-dir; if it is gone: nft delete table inet kiste";
            Err(Failure::new(what).hint(mend).into())
        }
    }
}

/// As much of a path as a comment has room for: its end.
fn comment(path: &Path) -> String {
    let shown = path.display().to_string();
    let excess = shown.len().saturating_sub(200);
    shown
        .char_indices()
        .find(|(at, _)| *at >= excess)
        .map_or(String::new(), |(at, _)| shown[at..].into())
}

/// All rules, in order.
pub(crate) fn all(
    owner: &Path,
    networks: &[&NetworkRecord],
    changed: &[SavedSysctl],
) -> Rules {
    let mut rules = loopback(owner);
    rules.extend(published(networks));
    rules.extend(networks.iter().flat_map(|noted| input(&noted.network)));
    rules.extend(forward(networks, changed));
    rules.extend(networks.iter().flat_map(|noted| postrouting(&noted.network)));
    rules
}

/// With `route_localnet` the bridge takes packets to 127.0.0.1, and from there; from
/// the wire they are nobody's to send (CVE-2020-8558). The first says whose the table
/// is.
fn loopback(owner: &Path) -> Rules {
    let from_the_wire = |rule: Rule| rule.comes_not_by("lo");
    vec![
        (
            LOOPBACK,
            from_the_wire(Rule::of(comment(owner))).sent_to(of_loopback()).drop(),
        ),
        (LOOPBACK, from_the_wire(Rule::default()).sent_from(of_loopback()).drop()),
    ]
}

fn of_loopback() -> Subnet {
    const { Subnet::v4(Ipv4Addr::new(127, 0, 0, 0), 8) }
}

// ANCHOR: published
/// What comes to a published port of the host's goes to the container's.
fn published(networks: &[&NetworkRecord]) -> Rules {
    let to_host = |chain| (chain, Rule::default().sent_to_the_host().jump(PUBLISHED));
    let mut rules = vec![to_host("prerouting"), to_host("output")];
    for (lease, port) in leases(networks)
        .flat_map(|lease| lease.ports.iter().map(move |port| (lease, port)))
    {
        for ip in lease
            .addresses
            .iter()
            .filter(|ip| port.ip.is_none_or(|of| of.is_ipv4() == ip.is_ipv4()))
        {
            rules.push((PUBLISHED, publish(lease, port, *ip)));
        }
    }
    rules
}

// Task 8.2: what is for this port of the host's has another destination from here on.
fn publish(lease: &Lease, port: &Port, ip: IpAddr) -> Rule {
    let rule = Rule::of(&lease.id);
    let rule = match port.ip.and_then(Subnet::of_one) {
        Some(one) => rule.sent_to(one),
        None => rule.family(ip),
    };
    rule.sent_to_port(port.protocol, port.host).dnat(ip, port.inside)
}
// ANCHOR_END: published

fn leases<'a>(networks: &'a [&NetworkRecord]) -> impl Iterator<Item = &'a Lease> {
    networks.iter().flat_map(|noted| &noted.leases)
}

/// From an internal network the host is not reached either: only who answers for names,
/// and a ping.
fn input(network: &Network) -> Rules {
    if network.isolation != Isolation::Internal {
        return Vec::new();
    }
    let from = || Rule::of(&network.name).comes_by(&network.bridge);
    let mut rules = Vec::new();
    for gateway in network.gateways() {
        rules.push(("input", from().icmp(gateway).accept()));
        for (protocol, one) in [Protocol::Udp, Protocol::Tcp]
            .into_iter()
            .zip(std::iter::repeat(Subnet::of_one(gateway)))
        {
            rules.extend(one.map(|one| {
                ("input", from().sent_to(one).sent_to_port(protocol, 53).accept())
            }));
        }
    }
    rules.push(("input", from().drop()));
    rules
}

// ANCHOR: forward
/// Who may reach whom, through the host.
fn forward(networks: &[&NetworkRecord], changed: &[SavedSysctl]) -> Rules {
    let mut rules: Rules = Vec::new();
    for NetworkRecord { network, .. } in
        networks.iter().filter(|noted| noted.network.isolation == Isolation::Internal)
    {
        let (name, bridge) = (&network.name, &network.bridge);
        rules.push((
            "forward",
            Rule::of(name).comes_by(bridge).leaves_not_by(bridge).drop(),
        ));
        rules.push((
            "forward",
            Rule::of(name).leaves_by(bridge).comes_not_by(bridge).drop(),
        ));
    }
    rules.extend(isolated(networks));
    rules.push(("forward", Rule::default().state(ct::ESTABLISHED_OR_RELATED).accept()));
    for NetworkRecord { network, .. } in networks {
        // From elsewhere, also from another network, it is reached at published ports
        // only.
        let (name, bridge) = (&network.name, &network.bridge);
        rules.push((
            "forward",
            Rule::of(name).leaves_by(bridge).status(ct::DNAT).accept(),
        ));
        rules.push((
            "forward",
            Rule::of(name).leaves_by(bridge).comes_not_by(bridge).drop(),
        ));
    }
    rules.extend(not_a_router(networks, changed));
    rules
}
// ANCHOR_END: forward

/// An isolated network and the others do not reach each other at published ports
/// either.
fn isolated(networks: &[&NetworkRecord]) -> Rules {
    let mut rules = Vec::new();
    for one in
        networks.iter().filter(|noted| noted.network.isolation == Isolation::Isolated)
    {
        for other in
            networks.iter().filter(|other| other.network.name != one.network.name)
        {
            for (from, to) in [(one, other), (other, one)] {
                let rule = Rule::of(&one.network.name);
                rules.push((
                    "forward",
                    rule.comes_by(&from.network.bridge)
                        .leaves_by(&to.network.bridge)
                        .drop(),
                ));
            }
        }
    }
    rules
}

/// Forwarding was turned on for containers: the host that was no router before does not
/// become one for others.
fn not_a_router(networks: &[&NetworkRecord], changed: &[SavedSysctl]) -> Rules {
    // What goes to a bridge has been decided above; what comes from one may go on.
    let beside = |rule: Rule| {
        networks.iter().fold(rule, |rule, noted| {
            rule.comes_not_by(&noted.network.bridge)
                .leaves_not_by(&noted.network.bridge)
        })
    };
    let was_off = changed.iter().filter(|changed| changed.before == "0");
    let mut rules = Vec::new();
    for name in was_off.map(|changed| &changed.name) {
        if name == "ipv6/conf/all/forwarding" {
            rules.push((
                "forward",
                beside(Rule::default().family(IpAddr::from([0; 16]))).drop(),
            ));
        }
        let link = name
            .strip_prefix("ipv4/conf/")
            .and_then(|rest| rest.strip_suffix("/forwarding"));
        let is_bridge =
            |link: &str| networks.iter().any(|noted| noted.network.bridge == link);
        if let Some(link) = link.filter(|link| !is_bridge(link)) {
            let from = Rule::default().family(IpAddr::from([0; 4])).comes_by(link);
            rules.push(("forward", beside(from).drop()));
        }
    }
    rules
}

// ANCHOR: postrouting
/// What leaves a network leaves as the host, to which the answers find their way.
fn postrouting(network: &Network) -> Rules {
    let (name, bridge) = (&network.name, &network.bridge);
    let mut rules = Vec::new();
    for subnet in network.subnets().map(Subnet::network) {
        if network.isolation != Isolation::Internal {
            rules.push((
                "postrouting",
                Rule::of(name).sent_from(subnet).leaves_not_by(bridge).masquerade(),
            ));
        }
        // Who asks for a published port of its own network: the answer has to come by
        // here as well.
        let own = Rule::of(name)
            .sent_from(subnet)
            .sent_to(subnet)
            .status(ct::DNAT)
            .masquerade();
        rules.push(("postrouting", own));
    }
    // The host, by 127.0.0.1: to which nobody else could answer.
    rules.push((
        "postrouting",
        Rule::of(name).sent_from(of_loopback()).leaves_by(bridge).masquerade(),
    ));
    rules
}
// ANCHOR_END: postrouting

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Origin;

    #[test]
    fn a_link_that_did_not_forward_before_does_so_for_containers_only() {
        let network = Network {
            name: "kiste".into(),
            bridge: "kiste0".into(),
            subnet: "10.77.0.1/24".parse().unwrap(),
            subnet6: None,
            isolation: Isolation::Open,
            origin: Origin::Automatic,
        };
        let changed = [
            ("ipv4/conf/kiste0/forwarding", "0"),
            ("ipv4/conf/eth0/forwarding", "0"),
            ("ipv4/conf/eth1/forwarding", "1"),
            ("ipv4/conf/eth2/route_localnet", "0"),
            ("ipv6/conf/all/forwarding", "0"),
        ]
        .map(|(name, before)| SavedSysctl { name: name.into(), before: before.into() });
        let rules =
            not_a_router(&[&NetworkRecord { network, leases: Vec::new() }], &changed);
        let dropped = |rule: Rule| {
            ("forward", rule.comes_not_by("kiste0").leaves_not_by("kiste0").drop())
        };
        let from_eth0 = Rule::default().family(IpAddr::from([0; 4])).comes_by("eth0");
        assert_eq!(
            rules,
            [
                dropped(from_eth0),
                dropped(Rule::default().family(IpAddr::from([0; 16])))
            ]
        );
    }
}
