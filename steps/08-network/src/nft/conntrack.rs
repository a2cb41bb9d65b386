//! What the kernel knows of connections (linux/netfilter/nfnetlink_conntrack.h): where
//! packets of one went before, they go again, whatever the rules say now.

use std::io;
use std::net::IpAddr;

use anyhow::Result;

use super::message::{Attributes, find, message, read};
use super::socket::{ACK, Answer, CONNTRACK, REQUEST, dump, open, receive, send};

// enum cntl_msg_types
const GET: u16 = 1;
const DELETE: u16 = 2;
// enum ctattr_type
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ZONE: u16 = 18;

struct Forgotten(usize);

impl kit::Outcome for Forgotten {
    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// Forgets every connection from or to these addresses, which were somebody else's
/// before: what others still send to that one would reach who has its address now.
///
/// # Errors
/// What the kernel says. One that cannot be asked is left alone.
pub(crate) fn forget(addresses: &[IpAddr]) -> Result<()> {
    let shown: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
    kit::call(
        "forget connections of who had its address before",
        "IPCTNL_MSG_CT_DELETE",
        shown.join(", "),
        || {
            let all = match dump(CONNTRACK << 8 | GET) {
                Err(error) if super::is_unknown(&error) => Vec::new(),
                all => all?,
            };
            let concerned = all.iter().filter(|(_, entry)| concerns(entry, addresses));
            concerned
                .map(|(family, entry)| delete(*family, entry))
                .sum::<io::Result<usize>>()
                .map(Forgotten)
        },
    )?;
    Ok(())
}

fn concerns(entry: &[u8], addresses: &[IpAddr]) -> bool {
    let entry = read(entry);
    // CTA_TUPLE_IP: source and destination, each of 4 or 16 bytes.
    let tuples = [ORIGINAL, REPLY].into_iter().filter_map(|which| find(&entry, which));
    let ips = tuples.filter_map(|tuple| find(&read(tuple), 1));
    let mut both = ips.flat_map(read).filter_map(|(_, bytes)| address(bytes));
    both.any(|ip| addresses.contains(&ip))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

/// It is told by what its first packet looked like.
fn delete(family: u8, entry: &[u8]) -> io::Result<usize> {
    let entry = read(entry);
    let Some(original) = find(&entry, ORIGINAL) else { return Ok(0) };
    let which = Attributes::default().nested(ORIGINAL, Attributes(original.into()));
    let which = find(&entry, ZONE)
        .into_iter()
        .fold(which, |which, zone| which.bytes(ZONE, zone));
    let socket = open()?;
    send(
        &socket,
        &message(CONNTRACK << 8 | DELETE, REQUEST | ACK, 1, family, 0, &which),
    )?;
    match receive(&socket)?.iter().find_map(Answer::outcome) {
        // it has ended meanwhile
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Some(Err(error)) => Err(error),
        _ => Ok(1),
    }
}
