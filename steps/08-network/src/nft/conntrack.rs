//! The connections that the kernel tracks (linux/netfilter/nfnetlink_conntrack.h). A
//! packet of a tracked connection goes where the packets before it went, even if the
//! rules have changed.

use std::io;
use std::net::IpAddr;

use anyhow::Result;

use super::message;
use crate::netlink::message::{Attributes, Message, find, octets, parse, parse_ip};
use crate::netlink::socket::Socket;
use crate::port::{Port, Protocol};

/// linux/netfilter/nfnetlink.h: NFNL_SUBSYS_CTNETLINK.
const CONNTRACK: u16 = libc::NFNL_SUBSYS_CTNETLINK as u16;
// enum cntl_msg_types
const GET: u16 = 1;
const DELETE: u16 = 2;
// enum ctattr_type
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ZONE: u16 = 18;
const FILTER: u16 = 25;
// net/netfilter/nf_internals.h: the parts of a tuple that a filter compares
const SOURCE: u32 = 1 << 0;
const PROTOCOL: u32 = 1 << 3;

/// The connections that a container's start or end makes invalid.
pub(crate) struct ObsoleteConnections<'a> {
    /// The container's addresses. The peers of an earlier container with the same
    /// address may still send, and the new one would get their packets.
    pub(crate) addresses: &'a [IpAddr],
    /// Its published ports. A UDP client that goes on sending never makes a new
    /// connection: its packets would go where they went before the port was published,
    /// or to a container that has ended.
    pub(crate) ports: &'a [Port],
    /// The host's addresses, at which the ports are published.
    pub(crate) host_addresses: &'a [IpAddr],
}

/// Deletes connections.
///
/// # Errors
/// The kernel's reason. A kernel without conntrack has no connections.
pub(crate) fn delete_connections(obsolete: &ObsoleteConnections) -> Result<()> {
    let addresses = obsolete.addresses.iter().map(IpAddr::to_string);
    let shown: Vec<_> =
        addresses.chain(obsolete.ports.iter().map(Port::to_string)).collect();
    kit::call(
        "forget connections of earlier containers with its address or ports",
        "IPCTNL_MSG_CT_DELETE",
        shown.join(", "),
        || {
            let (mut socket, mut count) = (Socket::netfilter()?, Count::default());
            for filter in obsolete.filters() {
                let found = match socket.dump(&filter) {
                    Err(error) if super::is_unknown(&error) => Vec::new(),
                    found => found?,
                };
                count.listed += found.len();
                for entry in found.iter().filter(|entry| obsolete.contains(entry)) {
                    count.deleted += delete(&mut socket, entry)?;
                }
            }
            socket.close_at_exit();
            Ok::<_, io::Error>(count)
        },
    )?;
    Ok(())
}

/// The number of connections that are listed faster than the table is gone through
/// again.
const FEW: u64 = 1024;

/// The number of connections that this network namespace has: nf_conntrack-sysctl.rst. A
/// number that cannot be read counts as a large one.
fn number_of_connections() -> u64 {
    let text = kit::read_kernel_file("/proc/sys/net/netfilter/nf_conntrack_count");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX)
}

/// How many connections the kernel listed, and how many were deleted.
#[derive(Default)]
struct Count {
    listed: usize,
    deleted: usize,
}

impl kit::Outcome for Count {
    fn show(&self) -> Option<String> {
        Some(format!("{} of {}", self.deleted, self.listed))
    }
}

impl ObsoleteConnections<'_> {
    /// Makes the requests for the connections that may be obsolete. The kernel goes
    /// through its whole table for each of them, so one lists all if there are few. A
    /// router tracks hundreds of thousands. A kernel before 5.8 ignores the filters, and
    /// lists all.
    fn filters(&self) -> Vec<Message> {
        if number_of_connections() < FEW {
            return vec![message(CONNTRACK, GET, 0, Attributes::default())];
        }
        let has_udp = self.ports.iter().any(|port| port.protocol == Protocol::Udp);
        let mut filters = Vec::new();
        for ip in self.addresses {
            filters.push(filter(*ip, ORIGINAL, SOURCE, source(*ip)));
            filters.push(filter(*ip, REPLY, SOURCE, source(*ip)));
            if has_udp {
                filters.push(filter(*ip, ORIGINAL, PROTOCOL, udp()));
            }
        }
        filters
    }

    fn contains(&self, entry: &[u8]) -> bool {
        let entry = parse(super::attributes(entry));
        let original = find(&entry, ORIGINAL).map(Tuple::parse).unwrap_or_default();
        let reply = find(&entry, REPLY).map(Tuple::parse).unwrap_or_default();
        let mut ips = original.ips.iter().chain(&reply.ips);
        ips.any(|ip| self.addresses.contains(ip))
            || self.is_to_published_port(&original)
    }

    fn is_to_published_port(&self, original: &Tuple) -> bool {
        let [_, ip] = original.ips[..] else { return false };
        let is_host_address = self.host_addresses.contains(&ip);
        original.protocol == Some(Protocol::Udp.number())
            && self.ports.iter().any(|port| {
                let is_ip =
                    port.ip.map_or(is_host_address, |published| published == ip);
                let is_port = original.destination_port == Some(port.host);
                is_ip && is_port && port.protocol == Protocol::Udp
            })
    }
}

/// A request for the connections of which the tuple of one direction has these parts:
/// CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS. `ip` chooses IPv4 or IPv6.
fn filter(ip: IpAddr, direction: u16, parts: u32, tuple: Attributes) -> Message {
    let parts = Attributes::default().number(direction, parts);
    let which = Attributes::default().nested(direction, tuple).nested(FILTER, parts);
    let family = if ip.is_ipv4() { libc::NFPROTO_IPV4 } else { libc::NFPROTO_IPV6 };
    message(CONNTRACK, GET, family as u8, which)
}

/// CTA_TUPLE_IP with CTA_IP_V4_SRC or CTA_IP_V6_SRC.
fn source(ip: IpAddr) -> Attributes {
    let kind = if ip.is_ipv4() { 1 } else { 3 };
    Attributes::default().nested(1, Attributes::default().bytes(kind, &octets(ip)))
}

/// CTA_TUPLE_PROTO with CTA_PROTO_NUM.
fn udp() -> Attributes {
    let number = Attributes::default().bytes(1, &[Protocol::Udp.number()]);
    Attributes::default().nested(2, number)
}

/// The addresses and ports of a packet of a connection: CTA_TUPLE_ORIG.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tuple {
    /// The source and the destination.
    ips: Vec<IpAddr>,
    protocol: Option<u8>,
    destination_port: Option<u16>,
}

impl Tuple {
    fn parse(bytes: &[u8]) -> Self {
        let tuple = parse(bytes);
        // CTA_TUPLE_IP: source and destination, each of 4 or 16 bytes.
        let ips = parse(find(&tuple, 1).unwrap_or_default());
        // CTA_TUPLE_PROTO: its number, the source port and the destination port.
        let protocol = parse(find(&tuple, 2).unwrap_or_default());
        let port = find(&protocol, 3).and_then(|port| port.try_into().ok());
        Tuple {
            ips: ips.into_iter().filter_map(|(_, bytes)| parse_ip(bytes)).collect(),
            protocol: find(&protocol, 1).and_then(|number| number.first().copied()),
            destination_port: port.map(u16::from_be_bytes),
        }
    }
}

/// Deletes one connection, which the addresses and ports of its first packet identify.
fn delete(socket: &mut Socket, entry: &[u8]) -> io::Result<usize> {
    let attributes = parse(super::attributes(entry));
    let Some(original) = find(&attributes, ORIGINAL) else { return Ok(0) };
    let mut which = Attributes::default().nested(ORIGINAL, Attributes(original.into()));
    if let Some(zone) = find(&attributes, ZONE) {
        which = which.bytes(ZONE, zone);
    }
    let family = super::family(entry);
    match socket.request(&message(CONNTRACK, DELETE, family, which), 0) {
        // The connection has ended in the meantime.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        done => done.map(|()| 1),
    }
}
