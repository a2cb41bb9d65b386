//! Addresses, lent to containers as long as they live: no two have the same.

use std::net::IpAddr;

use anyhow::Result;
use kit::{Failure, Hint, Id};
use serde::{Deserialize, Serialize};

use crate::netlink::Mac;
use crate::network::Network;
use crate::port::Port;
use crate::store::NetworkRecord;
use crate::subnet::Subnet;

/// What a container has on a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) id: String,
    /// Its own name; others find it by that, too.
    pub(crate) hostname: String,
    /// By what else others find it.
    pub(crate) aliases: Vec<String>,
    /// One, or two where the network has IPv6.
    pub(crate) addresses: Vec<IpAddr>,
    /// Whom it asks for names outside; by default whom the host asks.
    pub(crate) dns: Vec<IpAddr>,
    pub(crate) mac: Mac,
    /// The end of its cable that is in the bridge.
    pub(crate) link: String,
    pub(crate) ports: Vec<Port>,
}

/// The file of a network's leases.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Leases {
    pub(crate) leases: Vec<Lease>,
}

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeaseRequest {
    pub(crate) hostname: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) ip6: Option<IpAddr>,
    pub(crate) mac: Option<Mac>,
    pub(crate) dns: Vec<IpAddr>,
    pub(crate) ports: Vec<Port>,
}

impl Lease {
    /// Chooses what a new container has on a network. The caller holds the lock.
    ///
    /// # Errors
    /// When what was asked for is somebody's, or none of the network's; or when nothing
    /// is free.
    pub(crate) fn choose(
        noted: &NetworkRecord,
        id: &Id,
        wanted: &LeaseRequest,
    ) -> Result<Self> {
        let NetworkRecord { network, leases } = noted;
        let mut addresses =
            vec![choose(network.subnet, wanted.ip, leases, &network.name)?];
        match (network.subnet6, wanted.ip6) {
            (Some(subnet), ip6) => {
                addresses.push(choose(subnet, ip6, leases, &network.name)?)
            }
            (None, None) => {}
            (None, Some(ip6)) => {
                let failure = Failure::new(format_args!(
                    "--ip6 {ip6}: {} has no IPv6",
                    network.name
                ));
                return Err(failure
                    .hint("`network create NAME --ipv6` makes a network that has")
                    .into());
            }
        }
        let mac = choose_mac(addresses[0], wanted.mac, noted)?;
        // IFNAMSIZ: a link's name has up to 15 bytes.
        let link = format!("veth{:.11}", id.as_str());
        let LeaseRequest { hostname, aliases, dns, ports, .. } = wanted.clone();
        Ok(Lease {
            id: id.to_string(),
            hostname,
            aliases,
            addresses,
            dns,
            mac,
            link,
            ports,
        })
    }
}

// ANCHOR: choose
// Task 8.1: the first address that nobody has.
fn choose(
    subnet: Subnet,
    wanted: Option<IpAddr>,
    leases: &[Lease],
    network: &str,
) -> Result<IpAddr> {
    let holder = |ip: &IpAddr| leases.iter().find(|lease| lease.addresses.contains(ip));
    if let Some(ip) = wanted {
        let whose = match holder(&ip) {
            _ if !subnet.has(ip) => {
                format!("it is not in {}, which {network} is", subnet.network())
            }
            _ if ip == subnet.ip() => "the bridge has it".into(),
            _ if is_nobodys(subnet, ip) => "it stands for all".into(),
            Some(lease) => {
                format!("container {} ({}) has it", lease.id, lease.hostname)
            }
            None => return Ok(ip),
        };
        return Err(Failure::new(format_args!("{ip}: {whose}"))
            .hint("choose another, or none")
            .into());
    }
    let all = (1..).map_while(|n| subnet.nth(n));
    let free = { all }.find(|ip| {
        *ip != subnet.ip() && !is_nobodys(subnet, *ip) && holder(ip).is_none()
    });
    free.ok_or_else(|| {
        Failure::new(format_args!(
            "{network} has no free address: {}",
            subnet.network()
        ))
        .into()
    })
    .hint("end some of its containers, or make a network with a larger --subnet")
}
// ANCHOR_END: choose

/// The first and the last address of a subnet are no single host's: RFC 1122, 3.2.1.3.
fn is_nobodys(subnet: Subnet, ip: IpAddr) -> bool {
    ip == subnet.network().ip() || (ip.is_ipv4() && ip == subnet.last())
}

fn choose_mac(ip: IpAddr, wanted: Option<Mac>, noted: &NetworkRecord) -> Result<Mac> {
    let usual = match ip {
        IpAddr::V4(ip) => Mac::of_ipv4(ip),
        IpAddr::V6(_) => {
            return Err(Failure::new("a network's first subnet is IPv4").into());
        }
    };
    let mac = wanted.unwrap_or(usual);
    let whose = match noted.leases.iter().find(|lease| lease.mac == mac) {
        _ if mac == noted.network.mac() => "the bridge has it".into(),
        Some(lease) => format!("container {} has it", lease.id),
        None => return Ok(mac),
    };
    let failure = Failure::new(format_args!("{mac}: {whose}"));
    Err(failure.hint("choose another --mac-address, or none").into())
}

impl Network {
    /// How many leading bits of this address of its are the subnet's.
    pub(crate) fn with_prefix(&self, ip: IpAddr) -> Option<Subnet> {
        self.subnets().find(|subnet| subnet.has(ip)).map(|subnet| subnet.at(ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Isolation, Origin};

    fn network(subnet: &str) -> NetworkRecord {
        let subnet: Subnet = subnet.parse().unwrap();
        let (name, bridge) = ("web".into(), "kiste1".into());
        let network = Network {
            name,
            bridge,
            subnet,
            subnet6: None,
            isolation: Isolation::Open,
            origin: Origin::UserCreated,
        };
        NetworkRecord { network, leases: Vec::new() }
    }

    fn lease(
        noted: &mut NetworkRecord,
        wanted: &LeaseRequest,
    ) -> Result<String, String> {
        let lease = Lease::choose(noted, &Id::random().unwrap(), wanted)
            .map_err(|error| error.to_string())?;
        noted.leases.push(lease.clone());
        Ok(lease.addresses[0].to_string())
    }

    #[test]
    fn each_has_its_own_until_none_is_left() {
        let mut noted = network("10.0.0.1/29");
        let all: Vec<_> = (0..5)
            .map(|_| lease(&mut noted, &LeaseRequest::default()).unwrap())
            .collect();
        assert_eq!(all, ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
        let refused = lease(&mut noted, &LeaseRequest::default()).unwrap_err();
        assert!(refused.contains("no free address"), "{refused}");
        noted.leases.remove(2);
        assert_eq!(lease(&mut noted, &LeaseRequest::default()).unwrap(), "10.0.0.4");
    }

    #[test]
    fn an_address_that_is_asked_for_is_given_once() {
        let mut noted = network("10.0.0.1/24");
        let wanted = |ip: &str| LeaseRequest {
            ip: Some(ip.parse().unwrap()),
            ..LeaseRequest::default()
        };
        assert_eq!(lease(&mut noted, &wanted("10.0.0.9")).unwrap(), "10.0.0.9");
        for (ip, why) in [
            ("10.0.0.9", "has it"),
            ("10.0.0.1", "the bridge has it"),
            ("10.0.0.0", "stands for all"),
            ("10.0.0.255", "stands for all"),
            ("10.0.1.9", "not in 10.0.0.0/24"),
            ("fd00::9", "not in 10.0.0.0/24"),
        ] {
            let refused = lease(&mut noted, &wanted(ip)).unwrap_err();
            assert!(refused.contains(why), "{ip}: {refused}");
        }
        let same = LeaseRequest {
            mac: Some(Mac::of_ipv4([10, 0, 0, 9].into())),
            ..LeaseRequest::default()
        };
        assert!(
            lease(&mut noted, &same)
                .unwrap_err()
                .contains("02:08:0a:00:00:09: container")
        );
        let the_bridges =
            LeaseRequest { mac: Some(noted.network.mac()), ..LeaseRequest::default() };
        assert!(
            lease(&mut noted, &the_bridges).unwrap_err().contains("the bridge has it")
        );
    }
}
