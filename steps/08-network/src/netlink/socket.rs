//! A netlink socket: to the links, addresses and routes of the kernel, or to its packet
//! filter. See netlink(7).

use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink,
    recv, send, socket_with, sockopt,
};

use super::message::{HEADER_LENGTH, Message};

// linux/netlink.h
pub(crate) const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
pub(crate) const ACK: u16 = libc::NLM_F_ACK as u16;
pub(crate) const CREATE: u16 = libc::NLM_F_CREATE as u16;
pub(crate) const EXCL: u16 = libc::NLM_F_EXCL as u16;
pub(crate) const APPEND: u16 = libc::NLM_F_APPEND as u16;
const DUMP: u16 = libc::NLM_F_DUMP as u16;
const DUMP_INTERRUPTED: u16 = libc::NLM_F_DUMP_INTR as u16;
const ERROR: u16 = libc::NLMSG_ERROR as u16;
const DONE: u16 = libc::NLMSG_DONE as u16;

/// The kernel fills at most 32 KiB at a time with a list: netlink_dump() in
/// net/netlink/af_netlink.c.
const LONGEST_DATAGRAM: usize = 1 << 16;

/// The least that SO_SNDBUF can be: SOCK_MIN_SNDBUF in include/net/sock.h.
const SMALLEST_SEND_BUFFER: usize = 4096;

/// A socket to the kernel. It belongs to the network namespace in which it was opened,
/// even after the process has entered another one.
#[derive(Debug)]
pub(crate) struct Socket {
    descriptor: OwnedFd,
    sequence: u32,
}

/// A message from the kernel.
pub(crate) struct Answer {
    /// The sequence number of the request that it answers.
    pub(crate) sequence: u32,
    kind: u16,
    flags: u16,
    /// All that follows struct nlmsghdr.
    pub(crate) body: Vec<u8>,
}

impl Socket {
    /// Opens a socket for links, addresses and routes.
    pub(crate) fn route() -> io::Result<Self> {
        Self::open(None) // NETLINK_ROUTE is protocol 0
    }

    /// Opens a socket for nf_tables and conntrack.
    pub(crate) fn netfilter() -> io::Result<Self> {
        Self::open(Some(netlink::NETFILTER))
    }

    /// Leaves a socket to the packet filter open until this process exits. A close waits
    /// until the kernel has freed the rules that the last transaction has replaced: 20
    /// to 100 ms, which the container's start does not need to wait for
    /// (nft_rcv_nl_event() in net/netfilter/nf_tables_api.c).
    pub(crate) fn close_at_exit(self) {
        let _ = self.descriptor.into_raw_fd();
    }

    fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
        let descriptor = socket_with(family, kind, SocketFlags::CLOEXEC, protocol)?;
        Ok(Socket { descriptor, sequence: 0 })
    }

    /// Sends one request, and returns when the kernel has done it or refused it.
    pub(crate) fn request(&mut self, message: &Message, flags: u16) -> io::Result<()> {
        self.sequence += 1;
        self.send(&message.packed(REQUEST | ACK | flags, self.sequence))?;
        self.wait_for(self.sequence)
    }

    /// Waits until the request with this number is acknowledged, or any request is
    /// refused.
    ///
    /// # Errors
    /// The error number of the first request that the kernel refused.
    pub(crate) fn wait_for(&self, sequence: u32) -> io::Result<()> {
        loop {
            for answer in self.receive()? {
                match answer.outcome() {
                    Some(Err(error)) => return Err(error),
                    Some(Ok(())) if answer.sequence == sequence => return Ok(()),
                    _ => {}
                }
            }
        }
    }

    /// Asks for a list, and returns its entries, each without its header. Asks again
    /// if the list changed while the kernel wrote it.
    pub(crate) fn dump(&mut self, message: &Message) -> io::Result<Vec<Vec<u8>>> {
        self.dump_parsed(message, |entry| Some(entry.into()))
    }

    /// Asks for a list as [`Socket::dump`] does, and keeps only what `parse` makes of
    /// the entries.
    pub(crate) fn dump_parsed<T>(
        &mut self,
        message: &Message,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        loop {
            self.sequence += 1;
            self.send(&message.packed(REQUEST | DUMP, self.sequence))?;
            match self.receive_list(&parse) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// Receives one list. EINTR: the list changed while the kernel wrote it.
    fn receive_list<T>(
        &self,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        let (mut found, mut is_consistent) = (Vec::new(), true);
        loop {
            let answers = self.receive()?.into_iter();
            for answer in answers.filter(|answer| answer.sequence == self.sequence) {
                is_consistent &= answer.flags & DUMP_INTERRUPTED == 0;
                match answer.outcome() {
                    Some(Err(error)) => return Err(error),
                    Some(Ok(())) if is_consistent => return Ok(found),
                    Some(Ok(())) => return Err(io::ErrorKind::Interrupted.into()),
                    None => found.extend(parse(&answer.body)),
                }
            }
        }
    }

    /// Sends bytes as one datagram, however long it is.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > SMALLEST_SEND_BUFFER {
            // socket(7), SO_SNDBUF: the whole datagram has to fit in, and the kernel
            // counts its own overhead.
            let (fd, room) = (&self.descriptor, bytes.len() * 2);
            sockopt::set_socket_send_buffer_size_force(fd, room)
                .or_else(|_| sockopt::set_socket_send_buffer_size(fd, room))?;
        }
        match send(&self.descriptor, bytes, SendFlags::empty())? {
            sent if sent == bytes.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    fn receive(&self) -> io::Result<Vec<Answer>> {
        let mut buffer = vec![0; LONGEST_DATAGRAM];
        let (_, length) = rustix::io::retry_on_intr(|| {
            recv(&self.descriptor, &mut buffer[..], RecvFlags::TRUNC)
        })?;
        let datagram = buffer.get(..length).ok_or(io::ErrorKind::InvalidData)?;
        Ok(split(datagram))
    }
}

/// Splits a datagram into the messages that it contains.
fn split(mut datagram: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some((header, _)) = datagram.split_first_chunk::<HEADER_LENGTH>() {
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
        let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
        let Some(body) = datagram.get(HEADER_LENGTH..length) else { break };
        answers.push(Answer {
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            body: body.into(),
        });
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    answers
}

impl Answer {
    /// Tells whether the request succeeded: an acknowledgement, the end of a list, or
    /// an error. None: the answer is an entry of a list.
    fn outcome(&self) -> Option<io::Result<()>> {
        if ![ERROR, DONE].contains(&self.kind) {
            return None;
        }
        let code = self.body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
        Some(match code {
            0.. => Ok(()),
            ..0 => Err(io::Error::from_raw_os_error(-code)),
        })
    }
}
