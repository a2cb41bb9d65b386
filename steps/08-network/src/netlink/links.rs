//! Links: network interfaces, and what they are plugged into.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use kit::Hint;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth,
    LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use nix::errno::Errno;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::Netlink;

/// A network interface.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// Its number in its network namespace.
    pub(crate) index: u32,
    /// Its name there.
    pub(crate) name: String,
    /// The number of the bridge that it is plugged into.
    pub(crate) bridge: Option<u32>,
}

/// A hardware address, as it is written: `02:42:0a:4d:00:02`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Netlink {
    /// Makes a bridge, which is down.
    ///
    /// # Errors
    /// EEXIST, when there is a link of that name; EOPNOTSUPP, when the kernel has no
    /// bridges.
    pub(crate) fn add_bridge(&mut self, name: &str, mac: Mac) -> Result<()> {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.into()),
            // Or it would have that of its lowest port, and change as containers come
            // and go.
            LinkAttribute::Address(mac.0.to_vec()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
        ];
        let operands = format!("{name}, bridge");
        let message = RouteNetlinkMessage::NewLink(message);
        self.request(
            "a switch, in which all cables of the network end",
            operands,
            message,
            NLM_F_CREATE | NLM_F_EXCL,
        )
        .hint_on(
            Errno::EEXIST,
            format_args!("`ip link show {name}` says what it is: it is not ours"),
        )
    }

    // ANCHOR: veth
    /// Makes a cable: one end called `name` here, the other `inside` in the network
    /// namespace of a process, where it has never been anywhere else. See veth(4).
    ///
    /// # Errors
    /// EEXIST, when either end's name is taken; ESRCH, when the process is gone.
    pub(crate) fn add_veth(
        &mut self,
        name: &str,
        inside: &str,
        mac: Mac,
        process: Pid,
    ) -> Result<()> {
        let mut peer = LinkMessage::default();
        peer.attributes = vec![
            LinkAttribute::IfName(inside.into()),
            LinkAttribute::Address(mac.0.to_vec()),
            LinkAttribute::NetNsPid(process.as_raw().unsigned_abs()),
        ];
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.into()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        let operands = format!("{name}, veth; {inside} in the namespace of {process}");
        let message = RouteNetlinkMessage::NewLink(message);
        self.request(
            "a cable, one end of it inside",
            operands,
            message,
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }
    // ANCHOR_END: veth

    /// Plugs a link into a bridge, and turns it on. What comes in by it may go out by
    /// it again: who asks for its own published port is the one that answers.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn plug(&mut self, link: &Link, bridge: &Link) -> Result<()> {
        let mut message = change(link.index);
        message.attributes = vec![LinkAttribute::Controller(bridge.index)];
        let operands = format!("{} into {}", link.name, bridge.name);
        self.request(
            "plug the other end into the bridge",
            operands,
            RouteNetlinkMessage::SetLink(message),
            0,
        )?;

        let mut message = change(link.index);
        message.attributes = vec![LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![
                InfoBridgePort::HairpinMode(true),
            ])),
        ])];
        let operands = format!("{}, hairpin", link.name);
        let message = RouteNetlinkMessage::NewLink(message);
        self.request(
            "so that it reaches its own published port",
            operands,
            message,
            0,
        )?;
        self.turn_on(link)
    }

    /// Turns a link on.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn turn_on(&mut self, link: &Link) -> Result<()> {
        let mut message = change(link.index);
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        let operands = format!("{}, IFF_UP", link.name);
        self.request(
            "turn the link on",
            operands,
            RouteNetlinkMessage::SetLink(message),
            0,
        )
    }

    /// Removes a link, and with it its other end. One that is gone is no error: a veth
    /// goes with the namespace that has its other end.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn remove_link(&mut self, name: &str) -> Result<()> {
        let Some(link) = self.link(name)? else { return Ok(()) };
        let message = RouteNetlinkMessage::DelLink(change(link.index));
        match self.request("remove the link: nobody uses it", name, message, 0) {
            Err(error) if kit::errno(&error) == Some(Errno::ENODEV) => Ok(()),
            done => done,
        }
    }

    /// The link of this name, if there is one.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn link(&mut self, name: &str) -> Result<Option<Link>> {
        Ok(self.links()?.into_iter().find(|link| link.name == name))
    }

    /// All links of this network namespace.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn links(&mut self) -> Result<Vec<Link>> {
        let all = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let found = self.dump("which links there are", all)?;
        Ok(found.into_iter().filter_map(read).collect())
    }
}

fn change(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

fn read(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let mut link =
        Link { index: message.header.index, name: String::new(), bridge: None };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Controller(bridge) => link.bridge = Some(bridge),
            _ => {}
        }
    }
    Some(link)
}

impl Mac {
    /// An address for whoever has this IPv4 address: what others remember of the
    /// address then still holds for the next container that gets it. The second bit of
    /// the first byte says that nobody sold it (IEEE 802, locally administered).
    pub(crate) fn of_ipv4(ip: std::net::Ipv4Addr) -> Self {
        let [a, b, c, d] = ip.octets();
        Mac([0x02, 0x08, a, b, c, d])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<_> = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        f.write_str(&bytes.join(":"))
    }
}

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let byte = |part: &str| {
            (part.len() == 2).then(|| u8::from_str_radix(part, 16).ok()).flatten()
        };
        let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
        let bytes = bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
        let bytes = bytes.ok_or("write it as 02:42:0a:4d:00:02")?;
        match bytes[0] & 1 {
            0 if bytes != [0; 6] => Ok(Mac(bytes)),
            _ => {
                Err("this is no address of a single link: the lowest bit of its first byte must be 0".into())
            }
        }
    }
}

impl TryFrom<String> for Mac {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_is_six_bytes_of_one_link() {
        let mac: Mac = "02:42:0A:4d:00:02".parse().unwrap();
        assert_eq!(mac.to_string(), "02:42:0a:4d:00:02");
        for wrong in [
            "",
            "02:42:0a:4d:00",
            "01:42:0a:4d:00:02",
            "00:00:00:00:00:00",
            "2:42:0a:4d:00:02",
            "x",
        ] {
            assert!(wrong.parse::<Mac>().is_err(), "{wrong}");
        }
    }
}
