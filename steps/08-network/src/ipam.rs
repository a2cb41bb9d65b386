//! Which addresses a network gets when nobody has said: private ones that the host has
//! no way to yet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};
use kit::{Failure, Hint};

use crate::netlink::Netlink;
use crate::subnet::Subnet;

/// All subnets that are in use: of the host's links, and those that any of its routes
/// leads to, also in tables that are consulted only sometimes (a VPN's).
pub(crate) fn in_use(netlink: &mut Netlink) -> Result<Vec<Subnet>> {
    let mut subnets: Vec<_> =
        netlink.addresses()?.into_iter().map(|(_, subnet)| subnet.network()).collect();
    // The default route leads to all there is, and takes no address away.
    subnets.extend(
        netlink
            .routes()?
            .into_iter()
            .map(|route| route.destination)
            .filter(|to| to.prefix() > 0),
    );
    Ok(subnets)
}

/// A private IPv4 subnet of 254 addresses that overlaps with none of `taken`: RFC 1918.
///
/// # Errors
/// When there is none left.
pub(crate) fn free_ipv4(taken: &[Subnet]) -> Result<Subnet> {
    let free =
        candidates().find(|subnet| !taken.iter().any(|other| other.overlaps(*subnet)));
    free.ok_or_else(|| {
        Failure::new("no private IPv4 subnet is free: the host has a route to each")
            .into()
    })
    .hint("choose one yourself: `network create NAME --subnet CIDR`")
}

/// From where few others begin; the blocks that people have at home come last.
fn candidates() -> impl Iterator<Item = Subnet> {
    let ten =
        (77..=255).chain(1..77).flat_map(|b| (0..=255).map(move |c| [10, b, c, 0]));
    let twelve = (18..32).rev().flat_map(|b| (0..=255).map(move |c| [172, b, c, 0]));
    let sixteen = (2..=255).rev().map(|c| [192, 168, c, 0]);
    let all = ten.chain(twelve).chain(sixteen);
    all.filter_map(|octets| Subnet::new(Ipv4Addr::from(octets).into(), 24))
}

/// A unique local IPv6 subnet: its 40 random bits are nobody else's (RFC 4193, 3.2.2).
///
/// # Errors
/// When the kernel gives no random numbers.
pub(crate) fn random_ipv6() -> Result<Subnet> {
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..6].copy_from_slice(&kit::random::<5>().context("getrandom(5 bytes)")?);
    let subnet = Subnet::new(IpAddr::V6(Ipv6Addr::from(octets)), 64);
    subnet.ok_or_else(|| Failure::new("64 bits are less than 128").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(taken: &[&str]) -> Option<String> {
        let taken: Vec<Subnet> =
            taken.iter().map(|text| text.parse().unwrap()).collect();
        free_ipv4(&taken).ok().map(|subnet| subnet.to_string())
    }

    #[test]
    fn the_first_is_taken_that_nothing_overlaps() {
        assert_eq!(free(&["192.168.1.0/24"]).unwrap(), "10.77.0.0/24");
        assert_eq!(free(&["10.77.0.0/16", "10.78.0.7/32"]).unwrap(), "10.78.1.0/24");
        assert_eq!(free(&["10.0.0.0/8"]).unwrap(), "172.31.0.0/24");
        assert_eq!(free(&["10.0.0.0/8", "172.16.0.0/12"]).unwrap(), "192.168.255.0/24");
        assert_eq!(free(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]), None);
    }

    #[test]
    fn a_unique_local_subnet_is_never_the_same() {
        let (one, other) = (random_ipv6().unwrap(), random_ipv6().unwrap());
        assert!(one.to_string().starts_with("fd") && one != other, "{one} {other}");
    }
}
