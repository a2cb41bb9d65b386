//! rtnetlink: how the kernel is told of links, addresses and routes. See rtnetlink(7),
//! netlink(7).
//!
//! A request is a message in, and an acknowledgement or an error out, at once: nobody
//! has to wait.

mod addresses;
mod links;
mod routes;

use std::io;

use anyhow::Result;
use kit::{Failure, Hint};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

pub(crate) use links::Link;
pub use links::Mac;
pub(crate) use routes::Route;

/// A socket to the kernel's links, addresses and routes: those of the network namespace
/// in which it was opened, also when the process has gone elsewhere.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// What a dump came to.
struct Dump(Vec<RouteNetlinkMessage>);

impl kit::Outcome for Dump {
    fn show(&self) -> Option<String> {
        Some(self.0.len().to_string())
    }
}

impl Netlink {
    /// Opens a socket in this process's network namespace.
    ///
    /// # Errors
    /// What the kernel says of socket(2): EPROTONOSUPPORT, where it has no network.
    pub(crate) fn open() -> Result<Self> {
        let open = || {
            let mut socket = Socket::new(netlink_sys::protocols::NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok::<_, io::Error>(socket)
        };
        let socket = open().map_err(|error| {
            Failure::new(format_args!("socket(NETLINK_ROUTE): {error}"))
        })?;
        Ok(Netlink { socket, sequence: 0 })
    }

    // ANCHOR: request
    /// Sends one request, and returns once the kernel has done it, or has said why not.
    fn request(
        &mut self,
        why: &str,
        operands: impl std::fmt::Display,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<()> {
        let name = name_of(&message);
        kit::call(why, name, operands, || {
            self.send(message, NLM_F_REQUEST | NLM_F_ACK | flags)?;
            self.receive(|_| {})
        })
        .hint_on(
            Errno::EPERM,
            "links of the host's are root's: use sudo, or --network none",
        )
        .hint_on(
            Errno::EOPNOTSUPP,
            "this kernel lacks it: `doctor` of this step says what",
        )
    }
    // ANCHOR_END: request

    /// Asks for a list of all there are.
    fn dump(
        &mut self,
        why: &str,
        message: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>> {
        let name = name_of(&message);
        let dump = kit::call(why, name, "NLM_F_DUMP", || {
            loop {
                self.send(message.clone(), NLM_F_REQUEST | NLM_F_DUMP)?;
                let mut found = Vec::new();
                match self.receive(|message| found.push(message)) {
                    // Something changed while it was listed: netlink(7),
                    // NLM_F_DUMP_INTR.
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    done => return done.map(|()| Dump(found)),
                }
            }
        })?;
        Ok(dump.0)
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(drop)
    }

    /// Reads until the acknowledgement, the error or the end of the list.
    fn receive(&mut self, mut each: impl FnMut(RouteNetlinkMessage)) -> io::Result<()> {
        let mut whole = Ok(());
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let packet = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(io::Error::other)?;
                let length =
                    (packet.header.length as usize).next_multiple_of(4).min(rest.len());
                rest = &rest[length..];
                if packet.header.sequence_number != self.sequence {
                    continue; // the answer to a request that was given up
                }
                if packet.header.flags & NLM_F_DUMP_INTR != 0 {
                    whole = Err(io::ErrorKind::Interrupted.into());
                }
                match packet.payload {
                    NetlinkPayload::Done(_) => return whole,
                    NetlinkPayload::Error(error) if error.code.is_none() => {
                        return whole;
                    }
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::InnerMessage(message) => each(message),
                    _ => {}
                }
            }
        }
    }
}

const NLM_F_DUMP_INTR: u16 = 0x10;

/// What a message is called in rtnetlink(7).
fn name_of(message: &RouteNetlinkMessage) -> &'static str {
    match message {
        RouteNetlinkMessage::NewLink(_) => "RTM_NEWLINK",
        RouteNetlinkMessage::SetLink(_) => "RTM_SETLINK",
        RouteNetlinkMessage::DelLink(_) => "RTM_DELLINK",
        RouteNetlinkMessage::GetLink(_) => "RTM_GETLINK",
        RouteNetlinkMessage::NewAddress(_) => "RTM_NEWADDR",
        RouteNetlinkMessage::GetAddress(_) => "RTM_GETADDR",
        RouteNetlinkMessage::NewRoute(_) => "RTM_NEWROUTE",
        RouteNetlinkMessage::GetRoute(_) => "RTM_GETROUTE",
        _ => "netlink",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_message_is_its_name() {
        let get = RouteNetlinkMessage::GetAddress(Default::default());
        assert_eq!(name_of(&get), "RTM_GETADDR");
        assert_eq!(
            name_of(&RouteNetlinkMessage::NewLink(Default::default())),
            "RTM_NEWLINK"
        );
    }
}
