//! IP address management: the subnet of a new network, and the address of a container
//! on it. The caller holds the lock on the networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};
use kit::FailureKind::{Conflict, Usage};
use kit::{Failure, Hint};

use crate::lease::{Lease, LeaseRequest};
use crate::netlink::{Mac, Netlink};
use crate::store::NetworkRecord;
use crate::subnet::Subnet;

/// Makes a lease: chooses the addresses of a new container.
pub(crate) fn lease(record: &NetworkRecord, request: LeaseRequest) -> Result<Lease> {
    let NetworkRecord { network, leases } = record;
    let name = &network.name;
    let mut addresses = vec![choose(network.subnet, request.ip, leases, name)?];
    match (network.subnet6, request.ip6) {
        (Some(subnet), ip6) => addresses.push(choose(subnet, ip6, leases, name)?),
        (None, None) => {}
        (None, Some(ip6)) => {
            let failure = Failure::new(format_args!("--ip6 {ip6}: {name} has no IPv6"));
            return Err(failure
                .with_kind(Usage)
                .hint("`network create NAME --ipv6` creates a network with IPv6")
                .into());
        }
    }
    Ok(Lease {
        mac: choose_mac(addresses[0], request.mac, record)?,
        // IFNAMSIZ: a link's name has up to 15 bytes.
        link: format!("veth{:.11}", request.id),
        id: request.id,
        run_dir: Some(request.run_dir),
        runtime: request.runtime,
        hostname: request.hostname,
        aliases: request.aliases,
        addresses,
        dns: request.dns,
        ports: request.ports,
    })
}

// ANCHOR: choose
/// Chooses the requested address, or else the first one that is free.
// Task 8.1: the first address that nobody has, and that a host may have.
fn choose(
    subnet: Subnet,
    requested: Option<IpAddr>,
    leases: &[Lease],
    network: &str,
) -> Result<IpAddr> {
    if let Some(ip) = requested {
        return check(subnet, ip, leases, network).map(|()| ip);
    }
    let mut all = (1..).map_while(|n| subnet.nth(n));
    let free = all.find(|ip| {
        *ip != subnet.ip() && !is_reserved(subnet, *ip) && holder(leases, *ip).is_none()
    });
    free.ok_or_else(|| {
        let subnet = subnet.network();
        Failure::new(format_args!("{network} has no free address: {subnet}")).into()
    })
    .hint("end some of its containers, or create a network with a larger --subnet")
}
// ANCHOR_END: choose

/// Refuses a requested address that the container cannot have.
fn check(subnet: Subnet, ip: IpAddr, leases: &[Lease], network: &str) -> Result<()> {
    let (kind, why) = match holder(leases, ip) {
        _ if !subnet.contains(ip) => {
            let subnet = subnet.network();
            (Usage, format!("it is not in {subnet}, the subnet of {network}"))
        }
        _ if ip == subnet.ip() => (Conflict, "the bridge has it".into()),
        _ if is_reserved(subnet, ip) => (Usage, "it is reserved in its subnet".into()),
        Some(lease) => {
            let (id, hostname) = (&lease.id, &lease.hostname);
            (Conflict, format!("container {id} ({hostname}) has it"))
        }
        None => return Ok(()),
    };
    Err(Failure::new(format_args!("{ip}: {why}"))
        .with_kind(kind)
        .hint("choose another address, or leave the option out")
        .into())
}

/// Finds the lease of the container that has this address.
fn holder(leases: &[Lease], ip: IpAddr) -> Option<&Lease> {
    leases.iter().find(|lease| lease.addresses.contains(&ip))
}

/// Tells whether no host may have this address: the first one names the subnet itself,
/// and in IPv4 the last one is the broadcast address (RFC 1122, 3.2.1.3).
fn is_reserved(subnet: Subnet, ip: IpAddr) -> bool {
    ip == subnet.network().ip() || (ip.is_ipv4() && ip == subnet.last())
}

fn choose_mac(
    ip: IpAddr,
    requested: Option<Mac>,
    record: &NetworkRecord,
) -> Result<Mac> {
    let mac = requested.unwrap_or(Mac::of_ip(ip));
    let why = match record.leases.iter().find(|lease| lease.mac == mac) {
        _ if mac == record.network.mac() => "the bridge has it".into(),
        Some(lease) => format!("container {} has it", lease.id),
        None => return Ok(mac),
    };
    let failure = Failure::new(format_args!("{mac}: {why}")).with_kind(Conflict);
    Err(failure.hint("choose another --mac-address, or leave it out").into())
}

/// Lists the subnets that the host uses: those of its links, and the destinations of
/// its routes, in all routing tables (a VPN may have its own).
pub(crate) fn in_use(netlink: &mut Netlink) -> Result<Vec<Subnet>> {
    let mut subnets: Vec<_> =
        netlink.addresses()?.into_iter().map(|(_, subnet)| subnet.network()).collect();
    // A default route uses no address.
    subnets.extend(
        netlink
            .routes()?
            .into_iter()
            .map(|route| route.destination)
            .filter(|to| to.prefix() > 0),
    );
    Ok(subnets)
}

/// Chooses a private IPv4 subnet of 254 addresses (RFC 1918) that overlaps with none of
/// `taken`.
pub(crate) fn free_ipv4(taken: &[Subnet]) -> Result<Subnet> {
    let free =
        candidates().find(|subnet| !taken.iter().any(|other| other.overlaps(*subnet)));
    free.ok_or_else(|| {
        Failure::new("no private IPv4 subnet is free: the host has a route to each")
            .into()
    })
    .hint("choose one yourself: `network create NAME --subnet CIDR`")
}

/// Lists the candidates: first the subnets that are seldom used; those of home routers
/// come last.
fn candidates() -> impl Iterator<Item = Subnet> {
    let in_10 =
        (77..=255).chain(1..77).flat_map(|b| (0..=255).map(move |c| [10, b, c, 0]));
    let in_172 = (18..32).rev().flat_map(|b| (0..=255).map(move |c| [172, b, c, 0]));
    let in_192 = (2..=255).rev().map(|c| [192, 168, c, 0]);
    let all = in_10.chain(in_172).chain(in_192);
    all.map(|octets| Subnet::v4(Ipv4Addr::from(octets), 24))
}

/// Makes a unique local IPv6 subnet with 40 random bits (RFC 4193, 3.2.2).
pub(crate) fn random_ipv6() -> Result<Subnet> {
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..6].copy_from_slice(&kit::random::<5>().context("getrandom(5 bytes)")?);
    let subnet = Subnet::new(IpAddr::V6(Ipv6Addr::from(octets)), 64);
    subnet.ok_or_else(|| Failure::new("an IPv6 prefix of 64 bits is valid").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Network;

    fn network(subnet: &str) -> NetworkRecord {
        let subnet = subnet.parse().unwrap();
        let network = Network::automatic("web", "kiste1".into(), subnet);
        NetworkRecord { network, leases: Vec::new() }
    }

    fn lease(
        record: &mut NetworkRecord,
        request: LeaseRequest,
    ) -> Result<String, String> {
        let lease = super::lease(record, request).map_err(|error| error.to_string())?;
        record.leases.push(lease.clone());
        Ok(lease.addresses[0].to_string())
    }

    #[test]
    fn each_container_has_an_address_of_its_own_until_none_is_free() {
        let mut record = network("10.0.0.1/29");
        let mut next = || lease(&mut record, LeaseRequest::default());
        let all: Vec<_> = (0..5).map(|_| next().unwrap()).collect();
        assert_eq!(all, ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
        let refused = next().unwrap_err();
        assert!(refused.contains("no free address"), "{refused}");
        record.leases.remove(2);
        let again = lease(&mut record, LeaseRequest::default());
        assert_eq!(again.unwrap(), "10.0.0.4");
    }

    #[test]
    fn a_requested_address_is_leased_once() {
        let mut record = network("10.0.0.1/24");
        let ip = |ip: &str| LeaseRequest {
            ip: Some(ip.parse().unwrap()),
            ..LeaseRequest::default()
        };
        let mac = |mac: Mac| LeaseRequest { mac: Some(mac), ..LeaseRequest::default() };
        assert_eq!(lease(&mut record, ip("10.0.0.9")).unwrap(), "10.0.0.9");
        for (requested, why) in [
            ("10.0.0.9", "has it"),
            ("10.0.0.1", "the bridge has it"),
            ("10.0.0.0", "reserved"),
            ("10.0.0.255", "reserved"),
            ("10.0.1.9", "not in 10.0.0.0/24"),
            ("fd00::9", "not in 10.0.0.0/24"),
        ] {
            let refused = lease(&mut record, ip(requested)).unwrap_err();
            assert!(refused.contains(why), "{requested}: {refused}");
        }
        let taken = Mac::of_ip([10, 0, 0, 9].into());
        let refused = lease(&mut record, mac(taken)).unwrap_err();
        assert!(refused.contains("02:08:0a:00:00:09: container"), "{refused}");
        let bridge = record.network.mac();
        let refused = lease(&mut record, mac(bridge)).unwrap_err();
        assert!(refused.contains("the bridge has it"), "{refused}");
    }

    #[test]
    fn a_taken_address_is_a_conflict_and_an_impossible_one_is_a_usage_error() {
        let mut record = network("10.0.0.1/24");
        let ip = |ip: &str| LeaseRequest {
            ip: Some(ip.parse().unwrap()),
            ..LeaseRequest::default()
        };
        lease(&mut record, ip("10.0.0.9")).unwrap();
        for (requested, kind) in [
            ("10.0.0.9", Conflict),
            ("10.0.0.1", Conflict),
            ("10.0.0.0", Usage),
            ("10.0.1.9", Usage),
        ] {
            let error = super::lease(&record, ip(requested)).unwrap_err();
            assert_eq!(Failure::of(&error).kind(), kind, "{requested}");
        }
    }

    fn free(taken: &[&str]) -> Option<String> {
        let taken: Vec<Subnet> =
            taken.iter().map(|text| text.parse().unwrap()).collect();
        free_ipv4(&taken).ok().map(|subnet| subnet.to_string())
    }

    #[test]
    fn the_first_subnet_that_overlaps_with_none_is_chosen() {
        assert_eq!(free(&["192.168.1.0/24"]).unwrap(), "10.77.0.0/24");
        assert_eq!(free(&["10.77.0.0/16", "10.78.0.7/32"]).unwrap(), "10.78.1.0/24");
        assert_eq!(free(&["10.0.0.0/8"]).unwrap(), "172.31.0.0/24");
        assert_eq!(free(&["10.0.0.0/8", "172.16.0.0/12"]).unwrap(), "192.168.255.0/24");
        assert_eq!(free(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]), None);
    }

    #[test]
    fn random_ipv6_subnets_differ() {
        let (one, other) = (random_ipv6().unwrap(), random_ipv6().unwrap());
        assert!(one.to_string().starts_with("fd") && one != other, "{one} {other}");
    }
}
