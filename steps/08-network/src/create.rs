//! Chooses the bridge and the subnets of a new network.

use anyhow::Result;
use kit::{Failure, FailureKind};

use crate::host::Host;
use crate::ipam;
use crate::network::{DEFAULT, Isolation, Network, NetworkName, Origin};
use crate::subnet::Subnet;

/// The bridge of the default network.
pub(crate) const DEFAULT_BRIDGE: &str = "kiste0";

/// The properties of a network that a user creates.
#[derive(Clone, Debug)]
pub(crate) struct NewNetwork {
    pub(crate) name: NetworkName,
    /// None: the first private subnet that the host does not use.
    pub(crate) subnet: Option<Subnet>,
    /// Whether it gets a private IPv6 subnet as well.
    pub(crate) has_ipv6: bool,
    /// The longest packet that it carries. None: that of the host's uplink.
    pub(crate) mtu: Option<u32>,
    pub(crate) isolation: Isolation,
}

/// Describes the default network, with the first private subnet that the host does not
/// use.
pub(crate) fn default_network(host: &mut Host) -> Result<Network> {
    let subnet = free_subnet(host)?;
    let bridge = free_bridge(host, DEFAULT_BRIDGE)?;
    Ok(Network::automatic(DEFAULT, bridge, subnet))
}

/// Describes a network that a user creates.
pub(crate) fn named_network(host: &mut Host, new: &NewNetwork) -> Result<Network> {
    let name = new.name.0.clone();
    let subnet = match new.subnet {
        Some(subnet) => with_first_address(subnet),
        None => free_subnet(host)?,
    };
    let subnet6 = if new.has_ipv6 { Some(ipam::random_ipv6()?) } else { None };
    for wanted in [Some(subnet), subnet6].into_iter().flatten() {
        refuse_overlap(host, wanted)?;
    }
    let bridge = if name == DEFAULT { DEFAULT_BRIDGE } else { "kiste1" };
    Ok(Network {
        name,
        bridge: free_bridge(host, bridge)?,
        subnet,
        subnet6: subnet6.map(with_first_address),
        mtu: new.mtu,
        isolation: new.isolation,
        origin: Origin::UserCreated,
    })
}

fn refuse_overlap(host: &mut Host, subnet: Subnet) -> Result<()> {
    let mut used = used_subnets(host)?.into_iter();
    let Some(other) = used.find(|other| other.overlaps(subnet)) else { return Ok(()) };
    let subnet = subnet.network();
    Err(Failure::new(format_args!(
        "{subnet} overlaps with {other}, which the host uses"
    ))
    .with_kind(FailureKind::Conflict)
    .hint("choose another --subnet, or leave it out")
    .into())
}

fn free_subnet(host: &mut Host) -> Result<Subnet> {
    Ok(with_first_address(ipam::free_ipv4(&used_subnets(host)?)?))
}

/// Returns the subnet with its first address, which is that of the bridge.
fn with_first_address(subnet: Subnet) -> Subnet {
    subnet.nth(1).map_or(subnet, |first| subnet.at(first))
}

/// Lists the subnets that the host uses, and also those of networks whose bridge does
/// not exist at the moment.
fn used_subnets(host: &mut Host) -> Result<Vec<Subnet>> {
    let mut used = ipam::in_use(&mut host.netlink)?;
    let networks = host.store.networks().flat_map(|record| record.network.subnets());
    used.extend(networks.map(Subnet::network));
    Ok(used)
}

/// Chooses a name that no link and no network has: `first`, or the same name with the
/// next higher number that is free.
fn free_bridge(host: &mut Host, first: &str) -> Result<String> {
    let links = host.netlink.links()?;
    let (stem, number) = first.split_at(first.len() - 1);
    let number: u32 = number.parse().unwrap_or_default();
    let is_free = |name: &String| {
        links.iter().all(|link| link.name != *name)
            && host.store.networks().all(|record| record.network.bridge != *name)
    };
    let free = (number..).map(|number| format!("{stem}{number}")).find(is_free);
    free.ok_or_else(|| Failure::new("every name for a bridge is in use").into())
}
