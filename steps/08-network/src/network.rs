//! A network: a bridge, its subnets, and what its containers may reach.

use std::net::IpAddr;
use std::str::FromStr;

use anyhow::Result;
use kit::{Failure, Hint};
use serde::{Deserialize, Serialize};

use crate::ipam;
use crate::netlink::{Mac, Netlink};
use crate::store::{NetworkRecord, NetworkStore};
use crate::subnet::Subnet;
use crate::sysctl;

/// A network, as it is noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Network {
    pub(crate) name: String,
    /// The link that all its cables end in.
    pub(crate) bridge: String,
    /// Its IPv4 subnet, seen from the bridge: `10.77.0.1/24`.
    pub(crate) subnet: Subnet,
    /// Its IPv6 subnet, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subnet6: Option<Subnet>,
    #[serde(alias = "reach")]
    pub(crate) isolation: Isolation,
    pub(crate) origin: Origin,
}

/// What the containers of a network may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Isolation {
    /// Each other, whatever the host reaches, and the published ports of other
    /// networks.
    Open,
    /// The same, but nothing of other networks.
    Isolated,
    /// Each other.
    Internal,
}

/// Who wanted a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Origin {
    /// `network create`: it stays until `network rm`.
    #[serde(alias = "by-hand")]
    UserCreated,
    /// A container that named none: it goes with the last one.
    #[serde(alias = "by-itself")]
    Automatic,
}

/// What a network may be called: it becomes the name of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkName(pub(crate) String);

/// The network of those that name none.
pub(crate) const DEFAULT: &str = "kiste";
/// Its bridge.
const DEFAULT_BRIDGE: &str = "kiste0";

impl FromStr for NetworkName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain =
            |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let begins =
            text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !begins || text.len() > 63 || !text.bytes().all(is_plain) {
            return Err(
                "a name has up to 63 letters, digits and `_.-`, and begins with none of the last".into()
            );
        }
        match text {
            "none" | "host" | "bridge" | "pasta" | "alive" | "host.json" => {
                Err(format!("{text} means something else"))
            }
            _ => Ok(NetworkName(text.into())),
        }
    }
}

impl Network {
    /// The default network, with the first private addresses that the host has no use
    /// for.
    ///
    /// # Errors
    /// When there are none.
    pub(crate) fn by_default(
        store: &NetworkStore,
        netlink: &mut Netlink,
    ) -> Result<Self> {
        let subnet = choose(store, netlink)?;
        let name = DEFAULT.into();
        let bridge = free_bridge(store, netlink, DEFAULT_BRIDGE)?;
        Ok(Network {
            name,
            bridge,
            subnet,
            subnet6: None,
            isolation: Isolation::Open,
            origin: Origin::Automatic,
        })
    }

    /// One that was asked for by name.
    ///
    /// # Errors
    /// When the subnet that was asked for is in use, or there is none left.
    pub(crate) fn by_hand(
        store: &NetworkStore,
        netlink: &mut Netlink,
        name: &NetworkName,
        subnet: Option<Subnet>,
        subnet6: Option<Subnet>,
        isolation: Isolation,
    ) -> Result<Self> {
        let subnet = match subnet {
            Some(subnet) => from_first(subnet),
            None => choose(store, netlink)?,
        };
        for wanted in [Some(subnet), subnet6].into_iter().flatten() {
            let taken =
                taken(store, netlink)?.into_iter().find(|other| other.overlaps(wanted));
            if let Some(other) = taken {
                let what = format!(
                    "{}: the host has a way to {other} already",
                    wanted.network()
                );
                return Err(Failure::new(what)
                    .hint("choose another --subnet, or none")
                    .exit(1)
                    .into());
            }
        }
        let bridge = if name.0 == DEFAULT { DEFAULT_BRIDGE } else { "kiste1" };
        let bridge = free_bridge(store, netlink, bridge)?;
        let subnet6 = subnet6.map(from_first);
        Ok(Network {
            name: name.0.clone(),
            bridge,
            subnet,
            subnet6,
            isolation,
            origin: Origin::UserCreated,
        })
    }

    /// Its subnets, seen from the bridge.
    pub(crate) fn subnets(&self) -> impl Iterator<Item = Subnet> {
        [Some(self.subnet), self.subnet6].into_iter().flatten()
    }

    /// The bridge's addresses: the way out, and where names are asked for.
    pub(crate) fn gateways(&self) -> Vec<IpAddr> {
        self.subnets().map(Subnet::ip).collect()
    }

    /// Sees to it that the bridge is there, and on.
    ///
    /// # Errors
    /// What the kernel says; or when a link of that name is none of ours.
    pub(crate) fn raise(&self, netlink: &mut Netlink) -> Result<()> {
        if netlink.link(&self.bridge)?.is_none() {
            netlink.add_bridge(&self.bridge, self.mac())?;
        }
        let bridge = self.link(netlink)?;
        sysctl::believe_nobody(&self.bridge, self.subnet6.is_some())?;
        let has = netlink.addresses()?;
        for subnet in
            self.subnets().filter(|subnet| !has.contains(&(bridge.index, *subnet)))
        {
            netlink.add_address(
                "the gateway's address: the way out for all",
                bridge.index,
                &bridge.name,
                subnet,
            )?;
        }
        netlink.turn_on(&bridge)
    }

    /// The bridge, which is there.
    ///
    /// # Errors
    /// When somebody has removed it.
    pub(crate) fn link(
        &self,
        netlink: &mut Netlink,
    ) -> Result<crate::netlink::Interface> {
        let link = netlink.link(&self.bridge)?;
        link.ok_or_else(|| Failure::new(format_args!("the bridge {} is gone", self.bridge)).into())
            .hint("somebody removed it: end the containers of this network, and start them again")
    }

    /// The bridge's own hardware address.
    pub(crate) fn mac(&self) -> Mac {
        match self.subnet.ip() {
            IpAddr::V4(ip) => Mac::of_ipv4(ip),
            IpAddr::V6(_) => Mac([0x02, 0x08, 0, 0, 0, 1]),
        }
    }
}

/// The subnet as the bridge sees it: its first address.
fn from_first(subnet: Subnet) -> Subnet {
    subnet.nth(1).map_or(subnet, |first| subnet.at(first))
}

fn choose(store: &NetworkStore, netlink: &mut Netlink) -> Result<Subnet> {
    Ok(from_first(ipam::free_ipv4(&taken(store, netlink)?)?))
}

/// What the host uses, and what is noted, also where its bridge is not there now.
fn taken(store: &NetworkStore, netlink: &mut Netlink) -> Result<Vec<Subnet>> {
    let mut taken = ipam::in_use(netlink)?;
    taken.extend(
        store
            .networks
            .values()
            .flat_map(|NetworkRecord { network, .. }| network.subnets())
            .map(Subnet::network),
    );
    Ok(taken)
}

/// `first`, or the next number that no link has and that is not noted.
fn free_bridge(
    store: &NetworkStore,
    netlink: &mut Netlink,
    first: &str,
) -> Result<String> {
    let links = netlink.links()?;
    let (stem, number) = first.split_at(first.len() - 1);
    let number: u32 = number.parse().unwrap_or_default();
    let is_free = |name: &String| {
        links.iter().all(|link| link.name != *name)
            && store.networks.values().all(|noted| noted.network.bridge != *name)
    };
    let free = (number..).map(|number| format!("{stem}{number}")).find(is_free);
    free.ok_or_else(|| Failure::new("every name for a bridge is taken").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path_and_no_option() {
        for good in ["web", "a.b-c_d", "0"] {
            assert!(good.parse::<NetworkName>().is_ok(), "{good}");
        }
        for wrong in
            ["", "..", "a/b", "-x", "none", "host", "alive", "ä", &"x".repeat(64)]
        {
            assert!(wrong.parse::<NetworkName>().is_err(), "{wrong}");
        }
    }
}
