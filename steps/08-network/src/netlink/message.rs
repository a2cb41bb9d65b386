//! Packs and parses netlink messages: a header (struct nlmsghdr), a part of a fixed
//! length that depends on the type, and attributes. See netlink(7).
//!
//! An attribute has a length, a type and a value, which may be a list of attributes.
//! rtnetlink takes numbers in the byte order of the machine, nf_tables in that of the
//! network.

use std::net::IpAddr;

/// A list of attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes(pub(crate) Vec<u8>);

/// A request to the kernel.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// RTM_* of rtnetlink(7); for netfilter the subsystem and its message type.
    pub(crate) kind: u16,
    /// The part of a fixed length: struct ifinfomsg, struct nfgenmsg.
    pub(crate) fixed: Vec<u8>,
    pub(crate) attributes: Attributes,
}

/// The length of struct nlmsghdr.
pub(crate) const HEADER_LENGTH: usize = 16;

// linux/netlink.h: an attribute's type has 14 bits; the upper two are flags.
const NLA_F_NESTED: u16 = 1 << 15;
const NLA_TYPE_MASK: u16 = (1 << 14) - 1;

impl Attributes {
    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend((value.len() as u16 + 4).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Adds a number in the byte order of the machine.
    pub(crate) fn number(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Adds a number in network byte order.
    pub(crate) fn be32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Adds a number of 64 bits in network byte order.
    pub(crate) fn be64(self, kind: u16, value: u64) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Adds a string that ends with a null byte.
    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    pub(crate) fn nested(self, kind: u16, value: Attributes) -> Self {
        self.bytes(kind | NLA_F_NESTED, &value.0)
    }
}

impl Message {
    pub(crate) fn new(kind: u16, fixed: &[u8], attributes: Attributes) -> Self {
        Message { kind, fixed: fixed.into(), attributes }
    }

    /// Packs the message for the socket.
    pub(crate) fn packed(&self, flags: u16, sequence: u32) -> Vec<u8> {
        let length = HEADER_LENGTH + self.fixed.len() + self.attributes.0.len();
        let mut bytes = Vec::with_capacity(length);
        bytes.extend((length as u32).to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]); // nlmsg_pid: the kernel knows the sender
        bytes.extend(&self.fixed);
        bytes.extend(&self.attributes.0);
        bytes
    }
}

/// Parses a list of attributes into types and values. Stops at the first malformed one.
pub(crate) fn parse(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let Some((header, _)) = bytes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & NLA_TYPE_MASK;
        let Some(value) = bytes.get(4..length) else { break };
        found.push((kind, value));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// Finds the first attribute of this type.
pub(crate) fn find<'a>(attributes: &[(u16, &'a [u8])], kind: u16) -> Option<&'a [u8]> {
    attributes.iter().find(|(its, _)| *its == kind).map(|(_, value)| *value)
}

/// Finds a string.
pub(crate) fn find_text(attributes: &[(u16, &[u8])], kind: u16) -> Option<String> {
    let text = find(attributes, kind)?;
    Some(String::from_utf8_lossy(text.split(|byte| *byte == 0).next()?).into())
}

/// Finds a number in the byte order of the machine.
pub(crate) fn find_number(attributes: &[(u16, &[u8])], kind: u16) -> Option<u32> {
    Some(u32::from_ne_bytes(find(attributes, kind)?.try_into().ok()?))
}

/// Finds a number in network byte order.
pub(crate) fn find_be32(attributes: &[(u16, &[u8])], kind: u16) -> Option<u32> {
    Some(u32::from_be_bytes(find(attributes, kind)?.try_into().ok()?))
}

/// The bytes of an address: 4 or 16.
pub(crate) fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().into(),
        IpAddr::V6(ip) => ip.octets().into(),
    }
}

/// Parses an address. None: it has neither 4 nor 16 bytes.
pub(crate) fn parse_ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_attributes_are_parsed_again_and_garbage_ends_the_list() {
        let packed = Attributes::default()
            .text(1, "kiste")
            .be32(2, 7)
            .nested(3, Attributes::default().be32(1, 9))
            .number(4, 8);
        let found = parse(&packed.0);
        assert_eq!(find_text(&found, 1).as_deref(), Some("kiste"));
        assert_eq!((find_be32(&found, 2), find_number(&found, 4)), (Some(7), Some(8)));
        assert_eq!(find_be32(&parse(find(&found, 3).unwrap()), 1), Some(9));
        for garbage in [&[][..], &[1], &[0; 8], &[255; 8], &[200, 0, 1, 0, 9]] {
            assert!(parse(garbage).is_empty(), "{garbage:?}");
        }
    }
}
