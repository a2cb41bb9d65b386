//! rtnetlink: tells the kernel about links, addresses and routes, and asks for them.
//! See rtnetlink(7), netlink(7).
//!
//! The kernel answers each request at once: by an acknowledgement, an error number or a
//! list.
//!
//! - `message`: how a request is packed, and an answer parsed.
//! - `socket`: how requests and answers are exchanged. The packet filter (`nft`) uses
//!   `message` and `socket` as well.
//! - `links`, `addresses`, `routes`: the requests. `net_devices`: those that move a link
//!   of the host into a container.

mod addresses;
mod links;
mod mac;
pub(crate) mod message;
mod net_devices;
mod routes;
pub(crate) mod socket;

use anyhow::Result;
use kit::{Failure, Hint};
use nix::errno::Errno;

use self::message::Message;
use self::socket::Socket;

pub(crate) use links::Interface;
pub use mac::Mac;
pub(crate) use net_devices::{ListedAddress, ListedRoute};
pub(crate) use routes::Route;

/// A socket to the links, addresses and routes of the network namespace in which it was
/// opened.
#[derive(Debug)]
pub(crate) struct Netlink(Socket);

impl Netlink {
    /// Opens a socket in this process's network namespace.
    pub(crate) fn open() -> Result<Self> {
        let socket = Socket::route().map_err(|error| {
            Failure::new(format_args!("socket(NETLINK_ROUTE): {error}"))
        })?;
        Ok(Netlink(socket))
    }

    // ANCHOR: request
    /// Sends one request, and returns when the kernel has done it or refused it.
    fn request(
        &mut self,
        why: &str,
        operands: impl std::fmt::Display,
        message: Message,
        flags: u16,
    ) -> Result<()> {
        let name = message_name(message.kind);
        kit::call(why, name, operands, || self.0.request(&message, flags))
            .hint_on(
                Errno::EPERM,
                "only root can change the host's links: use sudo, or --network none",
            )
            .hint_on(
                Errno::EOPNOTSUPP,
                "this kernel lacks it: `doctor` of this step says what",
            )
    }
    // ANCHOR_END: request

    /// Asks for a list, and returns its entries.
    fn list(&mut self, why: &str, message: Message) -> Result<Vec<Vec<u8>>> {
        let mut list = Vec::new();
        kit::call(why, message_name(message.kind), "NLM_F_DUMP", || {
            list = self.0.dump(&message)?;
            Ok::<_, std::io::Error>(list.len())
        })?;
        Ok(list)
    }
}

/// The name of a message type in rtnetlink(7).
fn message_name(kind: u16) -> &'static str {
    match kind {
        libc::RTM_NEWLINK => "RTM_NEWLINK",
        libc::RTM_SETLINK => "RTM_SETLINK",
        libc::RTM_GETLINK => "RTM_GETLINK",
        libc::RTM_NEWADDR => "RTM_NEWADDR",
        libc::RTM_GETADDR => "RTM_GETADDR",
        libc::RTM_NEWROUTE => "RTM_NEWROUTE",
        libc::RTM_GETROUTE => "RTM_GETROUTE",
        _ => "netlink",
    }
}

/// The address family of an address: AF_INET or AF_INET6.
fn family(ip: std::net::IpAddr) -> u8 {
    (if ip.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}
