//! Addresses of links.

use std::net::IpAddr;

use anyhow::Result;
use libc::{IFA_ADDRESS, IFA_BROADCAST, IFA_LOCAL};

use super::message::{Attributes, Message, find, octets, parse, parse_ip};
use super::socket::{CREATE, EXCL};
use super::{Netlink, family};
use crate::subnet::Subnet;

/// The length of struct ifaddrmsg.
pub(super) const FIXED_LENGTH: usize = 8;

impl Netlink {
    /// Gives a link an address. The prefix says which other addresses are on that link.
    pub(crate) fn add_address(
        &mut self,
        why: &str,
        link: u32,
        name: &str,
        address: Subnet,
    ) -> Result<()> {
        // ip-address(8), nodad: without duplicate address detection, an IPv6 address is
        // usable at once. The lease already says that no other container has it.
        let flags = libc::IFA_F_NODAD as u8;
        let fixed = [family(address.ip()), address.prefix(), flags, 0];
        let fixed = [fixed, link.to_ne_bytes()].concat();
        let ip = octets(address.ip());
        let mut attributes =
            Attributes::default().bytes(IFA_LOCAL, &ip).bytes(IFA_ADDRESS, &ip);
        if let IpAddr::V4(last) = address.last() {
            attributes = attributes.bytes(IFA_BROADCAST, &last.octets());
        }
        let message = Message::new(libc::RTM_NEWADDR, &fixed, attributes);
        self.request(why, format_args!("{name}, {address}"), message, CREATE | EXCL)
    }

    /// Lists all addresses of this network namespace, each with the index of its link.
    pub(crate) fn addresses(&mut self) -> Result<Vec<(u32, Subnet)>> {
        let all =
            Message::new(libc::RTM_GETADDR, &[0; FIXED_LENGTH], Attributes::default());
        let found = self.list("which addresses the host has", all)?;
        Ok(found.iter().filter_map(|entry| parse_address(entry)).collect())
    }
}

fn parse_address(entry: &[u8]) -> Option<(u32, Subnet)> {
    let (fixed, attributes) = entry.split_first_chunk::<FIXED_LENGTH>()?;
    let [_, prefix, _, _, index @ ..] = *fixed;
    let attributes = parse(attributes);
    let ip = find(&attributes, IFA_LOCAL).or(find(&attributes, IFA_ADDRESS))?;
    Some((u32::from_ne_bytes(index), Subnet::new(parse_ip(ip)?, prefix)?))
}
