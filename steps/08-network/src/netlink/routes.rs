//! Routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use libc::{RTA_DST, RTA_GATEWAY, RTA_MULTIPATH, RTA_OIF, RTN_UNICAST};

use super::message::{Attributes, Message, find, find_number, octets, parse, parse_ip};
use super::socket::{CREATE, EXCL};
use super::{Netlink, family};
use crate::subnet::Subnet;

/// The length of struct rtmsg.
pub(super) const FIXED_LENGTH: usize = 12;
/// The address that stands for all others of its family.
pub(super) const FAMILIES: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];

/// A route.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) destination: Subnet,
    /// The links that it uses: several, if it is a multipath route.
    pub(crate) links: Vec<u32>,
    /// Whether it leads to other hosts: RTN_UNICAST.
    pub(crate) is_unicast: bool,
}

impl Netlink {
    /// Makes `gateway` the default route.
    pub(crate) fn add_default_route(&mut self, gateway: IpAddr) -> Result<()> {
        let mut fixed = [0; FIXED_LENGTH];
        fixed[0] = family(gateway);
        fixed[4..8].copy_from_slice(&[
            libc::RT_TABLE_MAIN,
            libc::RTPROT_BOOT,
            libc::RT_SCOPE_UNIVERSE,
            RTN_UNICAST,
        ]);
        let attributes = Attributes::default().bytes(RTA_GATEWAY, &octets(gateway));
        let message = Message::new(libc::RTM_NEWROUTE, &fixed, attributes);
        let operands = format!("default via {gateway}");
        self.request("its default route", operands, message, CREATE | EXCL)
    }

    /// Lists the routes of all tables, IPv4 and IPv6.
    pub(crate) fn routes(&mut self) -> Result<Vec<Route>> {
        let mut routes = Vec::new();
        for any in FAMILIES {
            let found = self.list_routes(any)?;
            routes.extend(found.iter().filter_map(|entry| parse_route(entry, any)));
        }
        Ok(routes)
    }

    /// Lists the routes of a family as the kernel has them: struct rtmsg, then attributes.
    pub(super) fn list_routes(&mut self, any: IpAddr) -> Result<Vec<Vec<u8>>> {
        let mut fixed = [0; FIXED_LENGTH];
        fixed[0] = family(any);
        let all = Message::new(libc::RTM_GETROUTE, &fixed, Attributes::default());
        let mut found = self.list("which routes the host has", all)?;
        // A kernel without IPv6 lists all families: rtnetlink_rcv_msg().
        found.retain(|entry| entry.first() == Some(&family(any)));
        Ok(found)
    }
}

/// Parses an entry. The kernel leaves the destination of a default route out; `any`
/// takes its place.
pub(super) fn parse_route(entry: &[u8], any: IpAddr) -> Option<Route> {
    let (fixed, attributes) = entry.split_first_chunk::<FIXED_LENGTH>()?;
    let [_, prefix, _, _, _, _, _, kind, ..] = *fixed;
    let attributes = parse(attributes);
    let destination = match find(&attributes, RTA_DST) {
        Some(bytes) => parse_ip(bytes)?,
        None => any,
    };
    let mut links: Vec<_> = find_number(&attributes, RTA_OIF).into_iter().collect();
    links.extend(next_hops(find(&attributes, RTA_MULTIPATH).unwrap_or_default()));
    Some(Route {
        destination: Subnet::new(destination, prefix)?,
        links,
        is_unicast: kind == RTN_UNICAST,
    })
}

/// The links in a list of struct rtnexthop, each of which is followed by attributes.
fn next_hops(mut bytes: &[u8]) -> Vec<u32> {
    let mut links = Vec::new();
    while let Some(([l0, l1, _, _, index @ ..], _)) = bytes.split_first_chunk::<8>() {
        links.push(u32::from_ne_bytes(*index));
        let length = usize::from(u16::from_ne_bytes([*l0, *l1])).max(8);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multipath_route_uses_the_links_of_all_its_next_hops() {
        let hop = |index: u32| {
            let gateway = Attributes::default().bytes(RTA_GATEWAY, &[192, 0, 2, 1]).0;
            [&[16, 0, 0, 0][..], &index.to_ne_bytes(), &gateway].concat()
        };
        let hops = Attributes::default()
            .bytes(RTA_DST, &[198, 51, 100, 0])
            .bytes(RTA_MULTIPATH, &[hop(3), hop(7)].concat());
        let entry = [&[2, 24, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0][..], &hops.0].concat();
        let route = parse_route(&entry, IpAddr::from([0; 4])).unwrap();
        assert_eq!((route.links, route.is_unicast), (vec![3, 7], true));
        assert_eq!(route.destination.to_string(), "198.51.100.0/24");
        assert!(next_hops(&[0; 7]).is_empty());
    }
}
