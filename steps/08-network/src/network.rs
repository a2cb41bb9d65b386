//! A network: a bridge, its subnets, and the hosts that its containers reach.

use std::net::IpAddr;
use std::str::FromStr;

use anyhow::Result;
use kit::{Failure, FailureKind, Hint};
use serde::{Deserialize, Deserializer, Serialize};

use crate::netlink::{Interface, Mac, Netlink};
use crate::subnet::Subnet;
use crate::sysctl;

/// A network, as its network.json describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Network {
    pub(crate) name: String,
    /// The name of the bridge.
    #[serde(deserialize_with = "link_name")]
    pub(crate) bridge: String,
    /// Its IPv4 subnet, with the bridge's address: `10.77.0.1/24`.
    pub(crate) subnet: Subnet,
    /// Its IPv6 subnet, with the bridge's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subnet6: Option<Subnet>,
    /// The longest packet that it carries, in bytes. None: that of the host's uplink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mtu: Option<u32>,
    #[serde(alias = "reach")]
    pub(crate) isolation: Isolation,
    pub(crate) origin: Origin,
}

/// Refuses a name that no link can have: it becomes a part of a path.
fn link_name<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let name = String::deserialize(input)?;
    match sysctl::is_link_name(&name) {
        true => Ok(name),
        false => Err(serde::de::Error::custom(format_args!(
            "no link can be called {name:?}"
        ))),
    }
}

/// How far the containers of a network are isolated. Containers of the same network
/// always reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Isolation {
    /// They reach all that the host reaches, and the published ports of other networks.
    Open,
    /// They reach all that the host reaches, and nothing of other networks.
    Isolated,
    /// They reach nobody outside of the network.
    Internal,
}

/// How a network was created, and when it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Origin {
    /// By `network create`; `network rm` removes it.
    #[serde(alias = "by-hand")]
    UserCreated,
    /// By the first container without `--network`; it is removed with the last one.
    #[serde(alias = "by-itself")]
    Automatic,
}

/// The name of a network, which is also the name of its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkName(pub(crate) String);

/// The network of containers without `--network`.
pub(crate) const DEFAULT: &str = "kiste";

impl FromStr for NetworkName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain =
            |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let first = text.bytes().next();
        let has_valid_start = first.is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !has_valid_start || text.len() > 63 || !text.bytes().all(is_plain) {
            return Err(
                "a name has up to 63 letters, digits and `_.-`, and begins with \
                        a letter or a digit"
                    .into(),
            );
        }
        match text {
            "none" | "host" | "bridge" | "pasta" => {
                Err(format!("{text} is a value of --network already"))
            }
            // `alive` is a directory of older versions.
            "alive" | "host.json" => Err(format!("{text} is a file of our own")),
            _ => Ok(NetworkName(text.into())),
        }
    }
}

impl Isolation {
    /// The isolation in a word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Isolation::Open => "open",
            Isolation::Isolated => "isolated",
            Isolation::Internal => "internal",
        }
    }
}

impl Network {
    /// Describes an open network with IPv4 only, which no user has created.
    pub(crate) fn automatic(name: &str, bridge: String, subnet: Subnet) -> Self {
        Network {
            name: name.into(),
            bridge,
            subnet,
            subnet6: None,
            mtu: None,
            isolation: Isolation::Open,
            origin: Origin::Automatic,
        }
    }

    /// Its subnets, each with the bridge's address.
    pub(crate) fn subnets(&self) -> impl Iterator<Item = Subnet> {
        [Some(self.subnet), self.subnet6].into_iter().flatten()
    }

    /// The addresses of the bridge: its containers' gateways and DNS servers.
    pub(crate) fn gateways(&self) -> Vec<IpAddr> {
        self.subnets().map(Subnet::ip).collect()
    }

    /// Adds the prefix length of its subnet to an address.
    pub(crate) fn with_prefix(&self, ip: IpAddr) -> Option<Subnet> {
        self.subnets().find(|subnet| subnet.contains(ip)).map(|subnet| subnet.at(ip))
    }

    /// Creates the bridge, unless it exists, gives it its addresses and turns it on.
    ///
    /// # Errors
    /// The kernel's reason; or when a link of another program has the bridge's name.
    pub(crate) fn bring_up(&self, netlink: &mut Netlink) -> Result<()> {
        match netlink.link(&self.bridge)? {
            None => netlink.add_bridge(&self.bridge, self.mac())?,
            Some(link) if self.has_made(&link) => {}
            Some(link) => return Err(not_ours(&link)),
        }
        let bridge = self.link(netlink)?;
        sysctl::refuse_router_advertisements(&self.bridge, self.subnet6.is_some())?;
        let existing = netlink.addresses()?;
        for subnet in self.subnets() {
            if !existing.contains(&(bridge.index, subnet)) {
                let why = "the containers' gateway";
                netlink.add_address(why, bridge.index, &bridge.name, subnet)?;
            }
        }
        netlink.turn_on(&bridge)
    }

    /// Removes the bridge. A link of the same name that another program has made stays.
    ///
    /// # Errors
    /// The kernel's reason.
    pub(crate) fn remove_bridge(&self, netlink: &mut Netlink) -> Result<()> {
        match netlink.link(&self.bridge)? {
            Some(link) if !self.has_made(&link) => {
                kit::warn(format_args!("the link stays: {}", not_ours(&link)));
                Ok(())
            }
            _ => netlink.remove_link(&self.bridge),
        }
    }

    /// Tells whether a link is the bridge: it has the MAC address that we gave it when
    /// we made it.
    fn has_made(&self, link: &Interface) -> bool {
        link.mac == Some(self.mac())
    }

    /// Finds the bridge.
    pub(crate) fn link(&self, netlink: &mut Netlink) -> Result<Interface> {
        netlink
            .existing_link(&self.bridge)
            .hint("end the containers of this network, and start them again")
    }

    /// The MAC address of the bridge.
    pub(crate) fn mac(&self) -> Mac {
        Mac::of_ip(self.subnet.ip())
    }
}

fn not_ours(link: &Interface) -> anyhow::Error {
    let what = format!("another program has made the link {}", link.name);
    let hint = format!("`ip -d link show {}` says what it is", link.name);
    Failure::new(what).with_kind(FailureKind::Conflict).hint(hint).into()
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

    #[test]
    fn a_network_that_an_older_version_wrote_is_read() {
        let text = r#"{ "name": "web", "bridge": "kiste1", "subnet": "10.88.0.1/24",
                        "reach": "isolated", "origin": "by-hand" }"#;
        let network: Network = serde_json::from_str(text).unwrap();
        let other_bridge = text.replace("kiste1", "../all");
        serde_json::from_str::<Network>(&other_bridge).unwrap_err();
        assert_eq!(
            (network.isolation, network.origin),
            (Isolation::Isolated, Origin::UserCreated)
        );
    }
}
