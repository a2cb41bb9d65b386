//! How nf_tables wants to be told things: attributes, each with a length, a kind and a
//! value; a value may be more attributes. Numbers are in network byte order. See
//! linux/netfilter/nfnetlink.h.

/// A list of attributes that grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes(pub(super) Vec<u8>);

/// NLA_F_NESTED of linux/netlink.h: the value is more attributes.
const NESTED: u16 = 1 << 15;

impl Attributes {
    pub(super) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend((value.len() as u16 + 4).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(super) fn number(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(super) fn long(self, kind: u16, value: u64) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// A text, which ends in a zero.
    pub(super) fn text(self, kind: u16, value: &str) -> Self {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    pub(super) fn nested(self, kind: u16, value: Attributes) -> Self {
        self.bytes(kind | NESTED, &value.0)
    }
}

/// The attributes that a value is made of: kind and value. Stops where they are none.
pub(super) fn read(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let Some((header, _)) = bytes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & !(NESTED | 1 << 14);
        let Some(value) = bytes.get(4..length) else { break };
        found.push((kind, value));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// The first attribute of this kind.
pub(super) fn find<'a>(attributes: &[(u16, &'a [u8])], kind: u16) -> Option<&'a [u8]> {
    attributes.iter().find(|(its, _)| *its == kind).map(|(_, value)| *value)
}

/// The same, as a text.
pub(super) fn find_text(attributes: &[(u16, &[u8])], kind: u16) -> Option<String> {
    let text = find(attributes, kind)?;
    Some(String::from_utf8_lossy(text.split(|byte| *byte == 0).next()?).into())
}

/// The same, as a number.
pub(super) fn find_number(attributes: &[(u16, &[u8])], kind: u16) -> Option<u32> {
    Some(u32::from_be_bytes(find(attributes, kind)?.try_into().ok()?))
}

/// A message: struct nlmsghdr, struct nfgenmsg, attributes.
pub(super) fn message(
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    resource: u16,
    body: &Attributes,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(20 + body.0.len());
    bytes.extend((20 + body.0.len() as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]); // from whom: the kernel knows
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(&body.0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_is_read_again_and_garbage_ends_the_list() {
        let packed = Attributes::default()
            .text(1, "kiste")
            .number(2, 7)
            .nested(3, Attributes::default().number(1, 9));
        let found = read(&packed.0);
        assert_eq!(
            (find_text(&found, 1).unwrap().as_str(), find_number(&found, 2)),
            ("kiste", Some(7))
        );
        assert_eq!(find_number(&read(find(&found, 3).unwrap()), 1), Some(9));
        for garbage in [&[][..], &[1], &[0; 8], &[255; 8], &[200, 0, 1, 0, 9]] {
            assert!(read(garbage).is_empty(), "{garbage:?}");
        }
    }
}
