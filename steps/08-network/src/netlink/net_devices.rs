//! Moves links, with their addresses and routes, into another network namespace.

use std::os::fd::{AsRawFd, BorrowedFd};

use anyhow::Result;
use kit::Hint;
use libc::{
    IFA_FLAGS, IFA_LABEL, IFLA_IFNAME, IFLA_NET_NS_FD, IFLA_NEW_IFINDEX, RTA_CACHEINFO,
    RTA_GATEWAY, RTA_MULTIPATH, RTA_OIF, RTA_VIA,
};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

use super::addresses::FIXED_LENGTH;
use super::links::link_header;
use super::message::{Attributes, Message, find, find_number, parse};
use super::routes::{self, FAMILIES, parse_route};
use super::socket::{APPEND, CREATE, EXCL};
use super::{Interface, Netlink};

// linux/rtnetlink.h
const RTPROT_RA: u8 = 9;
const RTNH_F_ONLINK: u32 = 4;
const RTA_NH_ID: u16 = 30;

/// An address of a link, as the kernel listed it: struct ifaddrmsg, then attributes.
#[derive(Clone, Debug)]
pub(crate) struct ListedAddress {
    fixed: [u8; FIXED_LENGTH],
    attributes: Vec<u8>,
}

/// A route through a link, as the kernel listed it: struct rtmsg, then attributes.
#[derive(Clone, Debug)]
pub(crate) struct ListedRoute {
    fixed: [u8; routes::FIXED_LENGTH],
    attributes: Vec<u8>,
}

impl ListedAddress {
    /// Tells whether another namespace needs the address, too: it is for ever
    /// (IFA_F_PERMANENT) and valid everywhere (RT_SCOPE_UNIVERSE).
    pub(crate) fn is_permanent_and_global(&self) -> bool {
        let [_, _, _, scope, ..] = self.fixed;
        scope == libc::RT_SCOPE_UNIVERSE
            && flags(&self.attributes) & libc::IFA_F_PERMANENT != 0
    }
}

impl Netlink {
    /// Opens a socket in another network namespace. This process enters that namespace
    /// for a moment, and comes back to its own one. It must have no other threads that
    /// rely on it.
    pub(crate) fn open_in(other: BorrowedFd<'_>, own: BorrowedFd<'_>) -> Result<Self> {
        let enter = |why: &str, namespace: BorrowedFd<'_>, name: &str| {
            kit::call(why, "setns", name, || setns(namespace, CloneFlags::CLONE_NEWNET))
                .hint_on(Errno::EPERM, "only root can enter a network namespace")
        };
        enter("for a socket to its links", other, "the container's network namespace")?;
        let socket = Netlink::open();
        enter("and back", own, "the runtime's network namespace")?;
        socket
    }

    /// Moves a link into another network namespace, where it gets this name and this
    /// number. The kernel turns the link off, and removes its addresses and its routes.
    pub(crate) fn move_link(
        &mut self,
        link: &Interface,
        namespace: BorrowedFd<'_>,
        name: &str,
        index: u32,
    ) -> Result<()> {
        let attributes = Attributes::default()
            .number(IFLA_NET_NS_FD, namespace.as_raw_fd().unsigned_abs())
            .text(IFLA_IFNAME, name)
            .number(IFLA_NEW_IFINDEX, index);
        let message =
            Message::new(libc::RTM_SETLINK, &link_header(link.index, 0), attributes);
        let operands = format_args!("{}, {name} in the other namespace", link.name);
        let why = "into the other network namespace";
        kit::call(why, "RTM_SETLINK", operands, || self.0.request(&message, 0))
            .hint_on(Errno::EEXIST, "that namespace has a link of this name")
            .hint_on(
                Errno::EINVAL,
                "a bridge or a loopback link cannot leave its network namespace",
            )
            .hint_on(Errno::EPERM, "only root can move a link of the host")
    }

    /// Lists the addresses of a link.
    pub(crate) fn addresses_of(
        &mut self,
        link: &Interface,
    ) -> Result<Vec<ListedAddress>> {
        let all =
            Message::new(libc::RTM_GETADDR, &[0; FIXED_LENGTH], Attributes::default());
        let found = self.list("which addresses it has", all)?;
        let of_link = |entry: &Vec<u8>| {
            let (fixed, attributes) = entry.split_first_chunk::<FIXED_LENGTH>()?;
            let [_, _, _, _, index @ ..] = *fixed;
            (u32::from_ne_bytes(index) == link.index)
                .then(|| ListedAddress { fixed: *fixed, attributes: attributes.into() })
        };
        Ok(found.iter().filter_map(of_link).collect())
    }

    /// Lists the routes through a link, but those that come by themselves when it is on:
    /// from the kernel (RTPROT_KERNEL) or a router (RTPROT_RA). Routes with a gateway are
    /// last: the gateway must be reachable when they are added.
    pub(crate) fn routes_of(&mut self, link: &Interface) -> Result<Vec<ListedRoute>> {
        let mut found = Vec::new();
        for any in FAMILIES {
            let of_link = |entry: &Vec<u8>| {
                let (fixed, attributes) =
                    entry.split_first_chunk::<{ routes::FIXED_LENGTH }>()?;
                let [_, _, _, _, _, protocol, ..] = *fixed;
                (![libc::RTPROT_KERNEL, RTPROT_RA].contains(&protocol)
                    && parse_route(entry, any)?.links.contains(&link.index))
                .then(|| ListedRoute { fixed: *fixed, attributes: attributes.into() })
            };
            found.extend(self.list_routes(any)?.iter().filter_map(of_link));
        }
        found.sort_by_key(|route| {
            let attributes = parse(&route.attributes);
            [RTA_GATEWAY, RTA_VIA, RTA_MULTIPATH]
                .iter()
                .any(|kind| find(&attributes, *kind).is_some())
        });
        Ok(found)
    }

    /// Gives a link an address that it had in another network namespace.
    pub(crate) fn restore_address(
        &mut self,
        link: &Interface,
        address: &ListedAddress,
    ) -> Result<()> {
        let ListedAddress { mut fixed, attributes } = address.clone();
        fixed[4..].copy_from_slice(&link.index.to_ne_bytes());
        let mut kept = Attributes::default();
        for (kind, value) in parse(&attributes) {
            kept = match kind {
                // `eth0` or `eth0:1`, and the link has another name now: the kernel makes one.
                IFA_LABEL if !is_label_of(value, &link.name) => continue,
                // It was unique on its link before: ip-address(8), nodad.
                IFA_FLAGS => {
                    kept.number(IFA_FLAGS, flags(&attributes) | libc::IFA_F_NODAD)
                }
                _ => kept.bytes(kind, value),
            };
        }
        let message = Message::new(libc::RTM_NEWADDR, &fixed, kept);
        self.request("an address that it had", &link.name, message, CREATE | EXCL)
    }

    /// Gives a link a route that it had before it left this network namespace.
    pub(crate) fn restore_route(
        &mut self,
        link: &Interface,
        route: &ListedRoute,
    ) -> Result<()> {
        let ListedRoute { mut fixed, attributes } = route.clone();
        // fib_create_info() in net/ipv4/fib_semantics.c refuses the flags that only a
        // list has.
        let [.., f0, f1, f2, f3] = fixed;
        let flags = u32::from_ne_bytes([f0, f1, f2, f3]) & RTNH_F_ONLINK;
        fixed[8..].copy_from_slice(&flags.to_ne_bytes());
        let mut kept = Attributes::default();
        for (kind, value) in parse(&attributes) {
            kept = match kind {
                RTA_CACHEINFO => continue, // its use so far
                RTA_NH_ID => continue, // that object is gone; the other attributes tell it
                RTA_OIF => kept.number(RTA_OIF, link.index),
                _ => kept.bytes(kind, value),
            };
        }
        let message = Message::new(libc::RTM_NEWROUTE, &fixed, kept);
        self.request("a route that it had", &link.name, message, CREATE | APPEND)
    }
}

fn is_label_of(label: &[u8], name: &str) -> bool {
    label.split(|byte| [b':', 0].contains(byte)).next() == Some(name.as_bytes())
}

/// Finds the flags of an address: IFA_F_*.
fn flags(attributes: &[u8]) -> u32 {
    find_number(&parse(attributes), IFA_FLAGS).unwrap_or_default()
}
