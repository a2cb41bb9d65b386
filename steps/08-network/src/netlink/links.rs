//! Links, which are network interfaces, and the bridges that they are plugged into.

use std::os::fd::{AsRawFd, BorrowedFd};

use anyhow::Result;
use kit::{Failure, Hint};
use libc::{
    IFLA_ADDRESS, IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_INFO_SLAVE_DATA,
    IFLA_INFO_SLAVE_KIND, IFLA_LINKINFO, IFLA_MASTER, IFLA_MTU, IFLA_NET_NS_FD,
    RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK, RTM_SETLINK,
};
use nix::errno::Errno;

use super::Netlink;
use super::mac::Mac;
use super::message::{Attributes, Message, find, find_number, find_text, parse};
use super::socket::{CREATE, EXCL};

// linux/veth.h, linux/if_link.h
const VETH_INFO_PEER: u16 = 1;
const IFLA_BRPORT_MODE: u16 = 4;

/// The length of struct ifinfomsg.
const FIXED_LENGTH: usize = 16;
/// struct ifinfomsg of a request that names its link in an attribute, or names none.
const ANY_LINK: [u8; FIXED_LENGTH] = [0; FIXED_LENGTH];

/// A network interface.
#[derive(Clone, Debug)]
pub(crate) struct Interface {
    /// Its number in its network namespace.
    pub(crate) index: u32,
    /// Its name in that namespace.
    pub(crate) name: String,
    /// The number of the bridge that it is plugged into: IFLA_MASTER.
    pub(crate) bridge: Option<u32>,
    /// The longest packet that it carries, in bytes.
    pub(crate) mtu: u32,
    /// Its MAC address, if it has one of six bytes.
    pub(crate) mac: Option<Mac>,
    /// The kind of a virtual link, `veth` for example: IFLA_INFO_KIND.
    pub(crate) kind: Option<String>,
    /// Whether it is on: IFF_UP.
    pub(crate) is_up: bool,
}

impl Netlink {
    /// Creates a bridge, which is down.
    pub(crate) fn add_bridge(&mut self, name: &str, mac: Mac) -> Result<()> {
        let bridge = Attributes::default().text(IFLA_INFO_KIND, "bridge");
        let attributes = Attributes::default()
            .text(IFLA_IFNAME, name)
            // Without an address of its own a bridge has that of its lowest port, and
            // changes it as containers come and go.
            .bytes(IFLA_ADDRESS, &mac.0)
            .nested(IFLA_LINKINFO, bridge);
        self.request(
            "a switch, in which all cables of the network end",
            format_args!("{name}, bridge"),
            Message::new(RTM_NEWLINK, &ANY_LINK, attributes),
            CREATE | EXCL,
        )
        .hint_on(
            Errno::EEXIST,
            format_args!("`ip link show {name}` says what it is: it is not ours"),
        )
    }

    // ANCHOR: veth
    /// Creates a cable: one end, called `name`, in this network namespace, and the
    /// other, called `inside`, in `namespace`. See veth(4).
    pub(crate) fn add_veth(
        &mut self,
        name: &str,
        inside: &str,
        mac: Mac,
        namespace: BorrowedFd<'_>,
    ) -> Result<()> {
        let peer = Attributes::default()
            .text(IFLA_IFNAME, inside)
            .bytes(IFLA_ADDRESS, &mac.0)
            .number(IFLA_NET_NS_FD, namespace.as_raw_fd().unsigned_abs());
        let peer = [&ANY_LINK[..], &peer.0].concat();
        let veth = Attributes::default()
            .text(IFLA_INFO_KIND, "veth")
            .nested(IFLA_INFO_DATA, Attributes::default().bytes(VETH_INFO_PEER, &peer));
        let attributes =
            Attributes::default().text(IFLA_IFNAME, name).nested(IFLA_LINKINFO, veth);
        self.request(
            "a cable with one end in the container",
            format_args!("{name}, veth; {inside} in the container's namespace"),
            Message::new(RTM_NEWLINK, &ANY_LINK, attributes),
            CREATE | EXCL,
        )
    }
    // ANCHOR_END: veth

    /// Plugs a link into a bridge, and turns it on. The bridge may send a packet back
    /// through the link on which it arrived (hairpin mode), so that a container reaches
    /// its own published port.
    pub(crate) fn plug(&mut self, link: &Interface, bridge: &Interface) -> Result<()> {
        self.request(
            "plug the other end into the bridge",
            format_args!("{} into {}", link.name, bridge.name),
            Message::new(
                RTM_SETLINK,
                &link_header(link.index, 0),
                Attributes::default().number(IFLA_MASTER, bridge.index),
            ),
            0,
        )?;
        let hairpin = Attributes::default().bytes(IFLA_BRPORT_MODE, &[1]);
        let port = Attributes::default()
            .text(IFLA_INFO_SLAVE_KIND, "bridge")
            .nested(IFLA_INFO_SLAVE_DATA, hairpin);
        self.request(
            "so that a container reaches its own published port",
            format_args!("{}, hairpin", link.name),
            Message::new(
                RTM_NEWLINK,
                &link_header(link.index, 0),
                Attributes::default().nested(IFLA_LINKINFO, port),
            ),
            0,
        )?;
        self.turn_on(link)
    }

    /// Turns a link on.
    pub(crate) fn turn_on(&mut self, link: &Interface) -> Result<()> {
        let on = link_header(link.index, libc::IFF_UP as u32);
        let on = Message::new(RTM_SETLINK, &on, Attributes::default());
        let operands = format_args!("{}, IFF_UP", link.name);
        self.request("turn the link on", operands, on, 0)
    }

    /// Sets the length of the longest packet that a link carries, unless that is its
    /// MTU already.
    pub(crate) fn set_mtu(&mut self, link: &Interface, mtu: u32) -> Result<()> {
        if link.mtu == mtu {
            return Ok(());
        }
        let change = Attributes::default().number(IFLA_MTU, mtu);
        let change = Message::new(RTM_SETLINK, &link_header(link.index, 0), change);
        let why = "packets that the uplink carries whole";
        self.request(why, format_args!("{}, MTU {mtu}", link.name), change, 0)
    }

    /// Removes a link, and with it the other end of a cable. A link that does not exist
    /// is no error: when a namespace ends, the kernel removes its cables some time
    /// later.
    pub(crate) fn remove_link(&mut self, name: &str) -> Result<()> {
        let link = Attributes::default().text(IFLA_IFNAME, name);
        let link = Message::new(RTM_DELLINK, &ANY_LINK, link);
        let why = "remove the link: no container uses it";
        kit::call(why, "RTM_DELLINK", name, || match self.0.request(&link, 0) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            done => done,
        })
    }

    /// Finds a link by its name.
    pub(crate) fn link(&mut self, name: &str) -> Result<Option<Interface>> {
        Ok(self.links()?.into_iter().find(|link| link.name == name))
    }

    /// Finds a link by its name. It is an error if there is none.
    pub(crate) fn existing_link(&mut self, name: &str) -> Result<Interface> {
        let missing = || Failure::new(format_args!("there is no link {name}"));
        Ok(self.link(name)?.ok_or_else(missing)?)
    }

    /// Lists all links of this network namespace.
    pub(crate) fn links(&mut self) -> Result<Vec<Interface>> {
        let all = Message::new(RTM_GETLINK, &ANY_LINK, Attributes::default());
        let found = self.list("which links there are", all)?;
        Ok(found.iter().filter_map(|entry| parse_link(entry)).collect())
    }
}

/// struct ifinfomsg: the link `index`, and the flags to be set.
pub(super) fn link_header(index: u32, flags: u32) -> [u8; FIXED_LENGTH] {
    let mut bytes = [0; FIXED_LENGTH];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..].copy_from_slice(&flags.to_ne_bytes()); // the mask: change only these
    bytes
}

fn parse_link(entry: &[u8]) -> Option<Interface> {
    let (fixed, attributes) = entry.split_first_chunk::<FIXED_LENGTH>()?;
    let [_, _, _, _, i0, i1, i2, i3, f0, f1, f2, f3, ..] = *fixed;
    let attributes = parse(attributes);
    Some(Interface {
        index: u32::from_ne_bytes([i0, i1, i2, i3]),
        name: find_text(&attributes, IFLA_IFNAME)?,
        bridge: find_number(&attributes, IFLA_MASTER),
        mtu: find_number(&attributes, IFLA_MTU)?,
        mac: find(&attributes, IFLA_ADDRESS)
            .and_then(|mac| mac.try_into().ok())
            .map(Mac),
        kind: find(&attributes, IFLA_LINKINFO)
            .and_then(|info| find_text(&parse(info), IFLA_INFO_KIND)),
        is_up: u32::from_ne_bytes([f0, f1, f2, f3]) & libc::IFF_UP as u32 != 0,
    })
}
