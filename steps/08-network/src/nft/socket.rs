//! The socket to nf_tables and to conntrack.

use std::io;

use netlink_sys::{Socket, SocketAddr};
use rustix::net::sockopt;

use super::message;

/// linux/netfilter/nfnetlink.h: NFNL_SUBSYS_NFTABLES, in the upper half of a message's
/// kind.
pub(super) const NFTABLES: u16 = 10;
/// NFNL_SUBSYS_CTNETLINK.
pub(super) const CONNTRACK: u16 = 1;
/// linux/netlink.h.
pub(super) const REQUEST: u16 = 0x1;
pub(super) const ACK: u16 = 0x4;
const DUMP: u16 = 0x300;
const DUMP_INTERRUPTED: u16 = 0x10;
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// What an answer is about: the number of the message asked, and the answer's own kind
/// and rest.
pub(super) struct Answer {
    pub(super) sequence: u32,
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The error that it tells; `Ok` is an acknowledgement. None: it is something else.
    pub(super) fn outcome(&self) -> Option<io::Result<()>> {
        let code = self.body.first_chunk::<4>().filter(|_| self.kind == ERROR)?;
        match i32::from_ne_bytes(*code) {
            0 => Some(Ok(())),
            code => Some(Err(io::Error::from_raw_os_error(-code))),
        }
    }
}

pub(super) fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(netlink_sys::protocols::NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// Sends all of it as one, however long.
pub(super) fn send(socket: &Socket, bytes: &[u8]) -> io::Result<()> {
    // socket(7), SO_SNDBUF: the kernel wants it to be there in one piece, and counts
    // its own share.
    let room = (bytes.len() * 2).max(1 << 16);
    sockopt::set_socket_send_buffer_size_force(socket, room)
        .or_else(|_| sockopt::set_socket_send_buffer_size(socket, room))?;
    match socket.send(bytes, 0)? {
        sent if sent == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// The answers that come together.
pub(super) fn receive(socket: &Socket) -> io::Result<Vec<Answer>> {
    let (bytes, _) = socket.recv_from_full()?;
    let (mut answers, mut rest) = (Vec::new(), &bytes[..]);
    while let Some((header, _)) = rest.split_first_chunk::<16>() {
        let number = |at: usize| {
            u32::from_ne_bytes([
                header[at],
                header[at + 1],
                header[at + 2],
                header[at + 3],
            ])
        };
        let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let length = number(0) as usize;
        let Some(body) = rest.get(16..length) else { break };
        answers.push(Answer {
            sequence: number(8),
            kind: half(4),
            flags: half(6),
            body: body.to_vec(),
        });
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(answers)
}

/// What a dump came to: each with its family, and without its header.
pub(super) type Dumped = Vec<(u8, Vec<u8>)>;

/// All there are of a kind: messages of kind `get` ask for them.
pub(super) fn dump(get: u16) -> io::Result<Dumped> {
    let socket = open()?;
    for sequence in 1.. {
        let all = message::Attributes::default();
        send(&socket, &message::message(get, REQUEST | DUMP, sequence, 0, 0, &all))?;
        if let Some(found) = read_dump(&socket, sequence)? {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// None: something changed meanwhile, and it is to be asked again.
fn read_dump(socket: &Socket, sequence: u32) -> io::Result<Option<Dumped>> {
    let (mut found, mut is_whole) = (Vec::new(), true);
    loop {
        for answer in
            receive(socket)?.into_iter().filter(|answer| answer.sequence == sequence)
        {
            is_whole &= answer.flags & DUMP_INTERRUPTED == 0;
            match answer.outcome() {
                // nf_tables(kernel): the list changed while it was told.
                Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                    return Ok(None);
                }
                Some(Err(error)) => return Err(error),
                _ if answer.kind == DONE => return Ok(is_whole.then_some(found)),
                _ => found.extend(
                    answer.body.get(4..).map(|rest| (answer.body[0], rest.to_vec())),
                ),
            }
        }
    }
}
