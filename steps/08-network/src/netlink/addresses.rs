//! Addresses of links.

use std::net::IpAddr;

use anyhow::Result;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{
    AddressAttribute, AddressHeaderFlags, AddressMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Netlink;
use crate::subnet::Subnet;

impl Netlink {
    /// Gives a link an address; the prefix says who else is on that link.
    ///
    /// # Errors
    /// EEXIST, when it has it.
    pub(crate) fn add_address(
        &mut self,
        why: &str,
        link: u32,
        name: &str,
        address: Subnet,
    ) -> Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(address.ip());
        message.header.prefix_len = address.prefix();
        message.header.index = link;
        // ip-address(8), nodad: nobody else can have it, the lease says; and it is of
        // use at once.
        message.header.flags = AddressHeaderFlags::Nodad;
        message.attributes = vec![
            AddressAttribute::Local(address.ip()),
            AddressAttribute::Address(address.ip()),
        ];
        if let IpAddr::V4(last) = address.last() {
            message.attributes.push(AddressAttribute::Broadcast(last));
        }
        let operands = format!("{name}, {address}");
        self.request(
            why,
            operands,
            RouteNetlinkMessage::NewAddress(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    /// All addresses of this network namespace, with the index of their link.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn addresses(&mut self) -> Result<Vec<(u32, Subnet)>> {
        let all = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let found = self.dump("which addresses the host has", all)?;
        Ok(found.into_iter().filter_map(read).collect())
    }
}

fn read(message: RouteNetlinkMessage) -> Option<(u32, Subnet)> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    let ip = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(ip) | AddressAttribute::Address(ip) => Some(*ip),
        _ => None,
    })?;
    Some((message.header.index, Subnet::new(ip, message.header.prefix_len)?))
}

pub(super) fn family(ip: IpAddr) -> AddressFamily {
    match ip {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
