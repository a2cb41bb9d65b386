//! Moves links, with their addresses, into another network namespace.

use std::os::fd::{AsRawFd, BorrowedFd};

use anyhow::Result;
use kit::Hint;
use libc::{IFA_FLAGS, IFA_LABEL, IFLA_IFNAME, IFLA_NET_NS_FD, IFLA_NEW_IFINDEX};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

use super::addresses::FIXED_LENGTH;
use super::links::link_header;
use super::message::{Attributes, Message, find_number, parse};
use super::socket::{CREATE, EXCL};
use super::{Interface, Netlink};

/// An address of a link, as the kernel listed it: struct ifaddrmsg, then attributes.
#[derive(Clone, Debug)]
pub(crate) struct ListedAddress {
    fixed: [u8; FIXED_LENGTH],
    attributes: Vec<u8>,
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

    /// Lists the addresses of a link that its next namespace needs, too: those for ever
    /// (IFA_F_PERMANENT) that are valid everywhere (RT_SCOPE_UNIVERSE).
    pub(crate) fn permanent_addresses(
        &mut self,
        link: &Interface,
    ) -> Result<Vec<ListedAddress>> {
        let all =
            Message::new(libc::RTM_GETADDR, &[0; FIXED_LENGTH], Attributes::default());
        let found = self.list("which addresses it has", all)?;
        Ok(found
            .iter()
            .filter_map(|entry| parse_permanent(entry, link.index))
            .collect())
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
                IFA_LABEL => continue, // the name that it had: the kernel makes the new one
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
}

fn parse_permanent(entry: &[u8], link: u32) -> Option<ListedAddress> {
    let (fixed, attributes) = entry.split_first_chunk::<FIXED_LENGTH>()?;
    let [_, _, _, scope, index @ ..] = *fixed;
    let is_permanent = flags(attributes) & libc::IFA_F_PERMANENT != 0;
    (u32::from_ne_bytes(index) == link
        && scope == libc::RT_SCOPE_UNIVERSE
        && is_permanent)
        .then(|| ListedAddress { fixed: *fixed, attributes: attributes.into() })
}

/// Finds the flags of an address: IFA_F_*.
fn flags(attributes: &[u8]) -> u32 {
    find_number(&parse(attributes), IFA_FLAGS).unwrap_or_default()
}
