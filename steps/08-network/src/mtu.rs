//! The length of the longest packet on a network: its MTU. A container asks its peers for
//! packets of the length that its own link carries. If the host's uplink carries less,
//! as in a tunnel, longer packets may be lost silently.

use anyhow::Result;

use crate::host::Host;
use crate::network::Network;

/// The largest MTU of a bridge or a cable.
pub(crate) const MAX: u32 = 65_535;
/// The least that IPv4 needs: RFC 791.
pub(crate) const MIN: u32 = 68;
/// The least that IPv6 needs: RFC 8200, 5.
pub(crate) const MIN_IPV6: u32 = 1280;

/// Finds the MTU of a network: the one it was created with, or else that of the host's
/// uplink. None: the host has no uplink.
pub(crate) fn of_network(host: &mut Host, network: &Network) -> Result<Option<u32>> {
    if network.mtu.is_some() {
        return Ok(network.mtu);
    }
    let min = if network.subnet6.is_some() { MIN_IPV6 } else { MIN };
    Ok(of_uplinks(host)?.map(|mtu| mtu.clamp(min, MAX)))
}

/// The smallest MTU of the links of default routes, or of all uplinks if there are no
/// default routes.
fn of_uplinks(host: &mut Host) -> Result<Option<u32>> {
    let (uplinks, links) = (host.uplinks()?, host.netlink.links()?);
    let routes = host.netlink.routes()?;
    let is_default = |index: u32| {
        let mut default = routes
            .iter()
            .filter(|route| route.is_unicast && route.destination.prefix() == 0);
        default.any(|route| route.links.contains(&index))
    };
    let uplinks = || links.iter().filter(|link| uplinks.contains(&link.name));
    let of_default = uplinks().filter(|link| is_default(link.index));
    let smallest = of_default.map(|link| link.mtu).min();
    Ok(smallest.or_else(|| uplinks().map(|link| link.mtu).min()))
}
