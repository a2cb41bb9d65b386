//! A rule of the old iptables, as the kernel keeps it: struct ipt_entry of
//! linux/netfilter_ipv4/ip_tables.h, struct ip6t_entry of
//! linux/netfilter_ipv6/ip6_tables.h.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::condition::{Condition, Property, Verdict};
use super::xt_match::parse_match;
use super::{ExistingRule, Family};

/// The differences between the tables of IPv4 and IPv6.
pub(super) struct Layout {
    pub(super) family: Family,
    /// The file with the names of the tables that exist. To ask the kernel for another
    /// table would create it.
    pub(super) names: &'static str,
    /// The IP version of the socket by which the kernel is asked, and the option's level.
    pub(super) any_address: IpAddr,
    pub(super) level: libc::c_int,
    /// The bytes of an entry (struct ipt_entry) that ask for addresses, and the place
    /// of the first name of a link.
    addresses: usize,
    /// The places of the protocol, of the flags and of the inverted conditions.
    protocol: usize,
    flags: usize,
    inverted: usize,
    /// The flag of a goto: IPT_F_GOTO, IP6T_F_GOTO.
    goto: u8,
    /// The place of target_offset.
    pub(super) target_offset: usize,
    /// The length of an entry without its matches and its target.
    pub(super) length: usize,
}

pub(super) const IPV4: Layout = Layout {
    family: Family::Ip,
    names: "/proc/net/ip_tables_names",
    any_address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    level: libc::IPPROTO_IP,
    addresses: 16,
    protocol: 80,
    flags: 82,
    inverted: 83,
    goto: 2,
    target_offset: 88,
    length: 112,
};

pub(super) const IPV6: Layout = Layout {
    family: Family::Ip6,
    names: "/proc/net/ip6_tables_names",
    any_address: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    level: libc::IPPROTO_IPV6,
    addresses: 64,
    protocol: 128,
    flags: 131,
    inverted: 132,
    goto: 4,
    target_offset: 140,
    length: 168,
};

/// struct xt_entry_match and struct xt_entry_target without their data.
const EXTENSION_LENGTH: usize = 32;

impl Layout {
    /// The name and the data of the target.
    pub(super) fn target<'a>(&self, entry: &'a [u8]) -> (String, &'a [u8]) {
        let target = short(entry, self.target_offset);
        extension(entry.get(target..).unwrap_or_default())
    }

    /// Parses a rule. `heads` are the first entry of each chain, and the chain's name.
    pub(super) fn parse_rule(
        &self,
        entry: &[u8],
        heads: &[(usize, String)],
    ) -> ExistingRule {
        let mut conditions = self.parse_conditions(entry);
        let mut at = self.length;
        let target = short(entry, self.target_offset);
        while let Some(found) = entry.get(at..target).filter(|it| !it.is_empty()) {
            let (name, data) = extension(found);
            conditions.extend(parse_match(&name, data));
            at += short(found, 0).max(EXTENSION_LENGTH);
        }
        let verdict = self.parse_verdict(entry, heads);
        ExistingRule { handle: 0, comment: String::new(), verdict, conditions }
    }

    fn parse_conditions(&self, entry: &[u8]) -> Vec<Condition> {
        let Layout { addresses, protocol, flags, inverted, goto, .. } = *self;
        let byte = |at: usize| entry.get(at).copied().unwrap_or_default();
        // IPT_INV_VIA_IN, IPT_INV_VIA_OUT, IPT_INV_PROTO; IPT_F_FRAG and others
        let (not_in, not_out, not_protocol) = (1, 2, 0x40);
        let mut conditions = Vec::new();
        let masks = entry.get(addresses / 2..addresses).unwrap_or_default();
        let others = byte(inverted) & !(not_in | not_out | not_protocol);
        // IP6T_F_PROTO, 1, says only that there is a protocol.
        let is_fragment = self.family == Family::Ip && byte(flags) & !goto != 0;
        if masks.iter().any(|it| *it != 0) || others != 0 || is_fragment {
            conditions.push(Condition::Other);
        }
        let links = [(Property::InLink, 0, not_in), (Property::OutLink, 16, not_out)];
        for (property, at, inverse) in links {
            let name = &entry[addresses + at..][..16];
            let mask = &entry[addresses + 32 + at..][..16];
            let length = mask.iter().take_while(|it| **it != 0).count();
            if length > 0 {
                let (is_equal, value) =
                    (byte(inverted) & inverse == 0, name[..length].into());
                conditions.push(Condition::Value { property, is_equal, value });
            }
        }
        if byte(protocol) != 0 {
            let (property, value) = (Property::Protocol, vec![byte(protocol)]);
            let is_equal = byte(inverted) & not_protocol == 0;
            conditions.push(Condition::Value { property, is_equal, value });
        }
        conditions
    }

    fn parse_verdict(
        &self,
        entry: &[u8],
        heads: &[(usize, String)],
    ) -> Option<Verdict> {
        let (name, data) = self.target(entry);
        let is_goto = entry[self.flags] & self.goto != 0;
        // struct xt_standard_target: a place in the table, or the verdict -N-1
        match (name.as_str(), number(data, 0) as u32 as i32) {
            ("REJECT", _) | ("", -1) => Some(Verdict::Drop),
            ("", -2) => Some(Verdict::Accept),
            ("", -5) => Some(Verdict::Return),
            ("", place @ 0..) => {
                let (_, name) = heads.iter().find(|(at, _)| *at == place as usize)?;
                match is_goto {
                    true => Some(Verdict::Goto(name.clone())),
                    false => Some(Verdict::Jump(name.clone())),
                }
            }
            _ => None,
        }
    }
}

/// The name and the data of a match or of a target.
fn extension(bytes: &[u8]) -> (String, &[u8]) {
    let name = bytes.get(2..31).unwrap_or_default();
    let data = bytes.get(EXTENSION_LENGTH..short(bytes, 0)).unwrap_or_default();
    (text(name), data)
}

pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into()
}

pub(super) fn short(bytes: &[u8], at: usize) -> usize {
    let found = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    found.map_or(0, |bytes| u16::from_ne_bytes(*bytes).into())
}

pub(super) fn number(bytes: &[u8], at: usize) -> usize {
    let found = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    found.map_or(0, |bytes| u32::from_ne_bytes(*bytes) as usize)
}
