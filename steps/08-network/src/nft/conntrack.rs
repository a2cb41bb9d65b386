//! The connections that the kernel knows (linux/netfilter/nfnetlink_conntrack.h). A
//! packet of a known connection goes where the packets before it went, even if the
//! rules have changed.

use std::io;
use std::net::IpAddr;

use anyhow::Result;

use super::message;
use crate::netlink::message::{Attributes, find, parse, parse_ip};
use crate::netlink::socket::Socket;

/// linux/netfilter/nfnetlink.h: NFNL_SUBSYS_CTNETLINK.
const CONNTRACK: u16 = libc::NFNL_SUBSYS_CTNETLINK as u16;
// enum cntl_msg_types
const GET: u16 = 1;
const DELETE: u16 = 2;
// enum ctattr_type
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ZONE: u16 = 18;

/// Deletes every connection from or to these addresses, which a new container gets. The
/// peers of an earlier container with the same address may still send, and the new one
/// would get their packets.
///
/// # Errors
/// The kernel's reason. A kernel without conntrack has no connections.
pub(crate) fn forget(addresses: &[IpAddr]) -> Result<()> {
    let shown: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
    kit::call(
        "forget connections of earlier containers with its address",
        "IPCTNL_MSG_CT_DELETE",
        shown.join(", "),
        || {
            let mut socket = Socket::netfilter()?;
            let all = message(CONNTRACK, GET, 0, Attributes::default());
            let all = match socket.dump(&all) {
                Err(error) if super::is_unknown(&error) => Vec::new(),
                all => all?,
            };
            let mut deleted = 0;
            for entry in all.iter().filter(|entry| concerns(entry, addresses)) {
                deleted += delete(&mut socket, entry)?;
            }
            Ok::<_, io::Error>(deleted)
        },
    )?;
    Ok(())
}

fn concerns(entry: &[u8], addresses: &[IpAddr]) -> bool {
    let entry = parse(super::attributes(entry));
    // CTA_TUPLE_IP: source and destination, each of 4 or 16 bytes.
    let tuples = [ORIGINAL, REPLY].into_iter().filter_map(|which| find(&entry, which));
    let ips = tuples.filter_map(|tuple| find(&parse(tuple), 1));
    let mut both = ips.flat_map(parse).filter_map(|(_, bytes)| parse_ip(bytes));
    both.any(|ip| addresses.contains(&ip))
}

/// A connection is named by the addresses and ports of its first packet.
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
