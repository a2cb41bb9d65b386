//! Routes.

use std::net::IpAddr;

use anyhow::Result;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
    RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Netlink;
use super::addresses::family;
use crate::subnet::Subnet;

/// A way that packets may go.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// Where to.
    pub(crate) destination: Subnet,
    /// By which links.
    pub(crate) links: Vec<u32>,
    /// Whether it leads to others, and not to the host itself or nowhere.
    pub(crate) is_unicast: bool,
}

impl Netlink {
    /// The way to everywhere else is by `gateway`.
    ///
    /// # Errors
    /// ENETUNREACH, when the gateway is on none of the links.
    pub(crate) fn add_default_route(&mut self, gateway: IpAddr) -> Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(gateway);
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Boot;
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Unicast;
        message.attributes = vec![RouteAttribute::Gateway(address(gateway))];
        let operands = format!("default via {gateway}");
        let message = RouteNetlinkMessage::NewRoute(message);
        self.request(
            "its way to everywhere else",
            operands,
            message,
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    /// The routes of all tables and both families.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn routes(&mut self) -> Result<Vec<Route>> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            let found = self.dump(
                "which ways the host knows",
                RouteNetlinkMessage::GetRoute(message),
            )?;
            routes.extend(found.into_iter().filter_map(read));
        }
        Ok(routes)
    }
}

fn read(message: RouteNetlinkMessage) -> Option<Route> {
    let RouteNetlinkMessage::NewRoute(message) = message else { return None };
    let any = match message.header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        _ => IpAddr::from([0; 16]),
    };
    let (mut to, mut links) = (any, Vec::new());
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(ip)) => to = (*ip).into(),
            RouteAttribute::Destination(RouteAddress::Inet6(ip)) => to = (*ip).into(),
            RouteAttribute::Oif(link) => links.push(*link),
            RouteAttribute::MultiPath(hops) => {
                links.extend(hops.iter().map(|hop| hop.interface_index))
            }
            _ => {}
        }
    }
    let destination = Subnet::new(to, message.header.destination_prefix_length)?;
    Some(Route {
        destination,
        links,
        is_unicast: message.header.kind == RouteType::Unicast,
    })
}

fn address(ip: IpAddr) -> RouteAddress {
    match ip {
        IpAddr::V4(ip) => RouteAddress::Inet(ip),
        IpAddr::V6(ip) => RouteAddress::Inet6(ip),
    }
}
