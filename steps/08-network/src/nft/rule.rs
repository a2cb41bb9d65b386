//! A rule: what to look at in a packet, one thing after the other, and what to do with
//! it.
//!
//! The kernel has a few registers. An expression loads something of the packet into
//! one; the next one compares it; where it differs, the rule is over. See
//! linux/netfilter/nf_tables.h.

use std::fmt;
use std::net::IpAddr;

use crate::netlink::message::{Attributes, octets};
use crate::port::Protocol;
use crate::subnet::Subnet;

/// A rule being made. What it prints is what `nft list ruleset` prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    expressions: Attributes,
    text: String,
    comment: String,
}

/// NFT_REG_1 and NFT_REG_2, of 16 bytes each.
const ONE: u32 = 1;
const TWO: u32 = 2;

// enum nft_cmp_ops
const EQUAL: u32 = 0;
const DIFFERENT: u32 = 1;

/// What is known of a packet's connection: bits of enum ip_conntrack_info and enum
/// ip_conntrack_status.
pub(crate) mod ct {
    /// An answer, or more of what was answered.
    pub(crate) const ESTABLISHED_OR_RELATED: u32 = 1 << 1 | 1 << 2;
    /// Its destination was changed: it came to a published port.
    pub(crate) const DNAT: u32 = 1 << 5;
}

impl Rule {
    /// A rule that says whose it is.
    pub(crate) fn of(comment: impl fmt::Display) -> Self {
        Rule { comment: comment.to_string(), ..Rule::default() }
    }

    /// IPv4 packets only, or IPv6 packets only: as `ip` is.
    pub(crate) fn family(self, ip: IpAddr) -> Self {
        let (number, name) = if ip.is_ipv4() { (2, "ipv4") } else { (10, "ipv6") };
        self.says(format_args!("meta nfproto {name}"))
            .meta(15)
            .compare(EQUAL, &[number])
    }

    /// It comes in by this link.
    pub(crate) fn comes_by(self, name: &str) -> Self {
        self.says(format_args!("iifname \"{name}\""))
            .meta(6)
            .compare(EQUAL, &link_name(name))
    }

    /// It does not come in by this link.
    pub(crate) fn comes_not_by(self, name: &str) -> Self {
        self.says(format_args!("iifname != \"{name}\""))
            .meta(6)
            .compare(DIFFERENT, &link_name(name))
    }

    /// It goes out by this link.
    pub(crate) fn leaves_by(self, name: &str) -> Self {
        self.says(format_args!("oifname \"{name}\""))
            .meta(7)
            .compare(EQUAL, &link_name(name))
    }

    /// It does not go out by this link.
    pub(crate) fn leaves_not_by(self, name: &str) -> Self {
        self.says(format_args!("oifname != \"{name}\""))
            .meta(7)
            .compare(DIFFERENT, &link_name(name))
    }

    /// It comes from this subnet.
    pub(crate) fn sent_from(self, subnet: Subnet) -> Self {
        let offset = if subnet.ip().is_ipv4() { 12 } else { 8 };
        self.family(subnet.ip())
            .says(format_args!("saddr {subnet}"))
            .address(offset, subnet)
    }

    /// It goes to this subnet.
    pub(crate) fn sent_to(self, subnet: Subnet) -> Self {
        let offset = if subnet.ip().is_ipv4() { 16 } else { 24 };
        self.family(subnet.ip())
            .says(format_args!("daddr {subnet}"))
            .address(offset, subnet)
    }

    /// It goes to one of the host's own addresses.
    pub(crate) fn sent_to_the_host(self) -> Self {
        // NFT_FIB_RESULT_ADDRTYPE of the destination (NFTA_FIB_F_DADDR) is RTN_LOCAL.
        let lookup = Attributes::default().be32(1, ONE).be32(2, 3).be32(3, 2);
        self.says("fib daddr type local")
            .add("fib", lookup)
            .compare(EQUAL, &2u32.to_ne_bytes())
    }

    /// It goes to this port.
    pub(crate) fn sent_to_port(self, protocol: Protocol, port: u16) -> Self {
        let l4 = self
            .says(format_args!("{protocol} dport {port}"))
            .meta(16)
            .compare(EQUAL, &[protocol.number()]);
        l4.payload(2, 2, 2).compare(EQUAL, &port.to_be_bytes())
    }

    /// It is ICMP, or ICMPv6, without which nobody is found there.
    pub(crate) fn icmp(self, ip: IpAddr) -> Self {
        let (number, name) = if ip.is_ipv4() { (1, "icmp") } else { (58, "ipv6-icmp") };
        self.family(ip)
            .says(format_args!("meta l4proto {name}"))
            .meta(16)
            .compare(EQUAL, &[number])
    }

    /// Its connection's state has one of these bits.
    pub(crate) fn state(self, bits: u32) -> Self {
        self.says("ct state established,related").connection(0, bits)
    }

    /// Its connection's status has one of these bits.
    pub(crate) fn status(self, bits: u32) -> Self {
        self.says("ct status dnat").connection(2, bits)
    }

    /// It goes on from this chain.
    pub(crate) fn accept(self) -> Self {
        self.says("accept").verdict(1, None)
    }

    /// It goes nowhere.
    pub(crate) fn drop(self) -> Self {
        self.says("drop").verdict(0, None)
    }

    /// It goes through another chain, and if nothing stops it there, comes back.
    pub(crate) fn jump(self, chain: &str) -> Self {
        self.says(format_args!("jump {chain}")).verdict(-3, Some(chain))
    }

    /// Its source becomes the address of the link that it leaves by.
    pub(crate) fn masquerade(self) -> Self {
        self.says("masquerade").add("masq", Attributes::default())
    }

    /// Its destination becomes this one.
    pub(crate) fn dnat(self, ip: IpAddr, port: u16) -> Self {
        let (family, text) = match ip {
            IpAddr::V4(ip) => (2, format!("dnat ip to {ip}:{port}")),
            IpAddr::V6(ip) => (10, format!("dnat ip6 to [{ip}]:{port}")),
        };
        // NFT_NAT_DNAT is 1; the addresses and ports are taken from registers, from and
        // to.
        let nat =
            Attributes::default().be32(1, 1).be32(2, family).be32(3, ONE).be32(5, TWO);
        let loaded =
            self.says(text).load(ONE, &octets(ip)).load(TWO, &port.to_be_bytes());
        loaded.add("nat", nat)
    }

    /// The rule as it is sent.
    pub(super) fn packed(&self, table: &str, chain: &str) -> Attributes {
        let rule = Attributes::default()
            .text(1, table)
            .text(2, chain)
            .nested(4, self.expressions.clone());
        if self.comment.is_empty() {
            return rule;
        }
        // libnftnl, NFTNL_UDATA_RULE_COMMENT: kind 0, length, text.
        let text = [self.comment.as_bytes(), &[0]].concat();
        rule.bytes(7, &[&[0, text.len() as u8], &text[..]].concat())
    }

    fn meta(self, key: u32) -> Self {
        self.add("meta", Attributes::default().be32(1, ONE).be32(2, key))
    }

    /// `base`: 1 is the network header, 2 the transport header.
    fn payload(self, base: u32, offset: u32, length: u32) -> Self {
        let place = Attributes::default()
            .be32(1, ONE)
            .be32(2, base)
            .be32(3, offset)
            .be32(4, length);
        self.add("payload", place)
    }

    fn address(self, offset: u32, subnet: Subnet) -> Self {
        let network = octets(subnet.network().ip());
        let loaded = self.payload(1, offset, network.len() as u32);
        let mask = octets(subnet.mask());
        let masked = if usize::from(subnet.prefix()) < 8 * mask.len() {
            loaded.keep_bits(&mask)
        } else {
            loaded
        };
        masked.compare(EQUAL, &network)
    }

    fn connection(self, key: u32, bits: u32) -> Self {
        let loaded = self.add("ct", Attributes::default().be32(1, ONE).be32(2, key));
        loaded.keep_bits(&bits.to_ne_bytes()).compare(DIFFERENT, &[0; 4])
    }

    fn keep_bits(self, mask: &[u8]) -> Self {
        let value = |bytes: &[u8]| Attributes::default().bytes(1, bytes);
        let bitwise =
            Attributes::default().be32(1, ONE).be32(2, ONE).be32(3, mask.len() as u32);
        self.add(
            "bitwise",
            bitwise.nested(4, value(mask)).nested(5, value(&vec![0; mask.len()])),
        )
    }

    fn compare(self, how: u32, with: &[u8]) -> Self {
        let value = Attributes::default().bytes(1, with);
        self.add(
            "cmp",
            Attributes::default().be32(1, ONE).be32(2, how).nested(3, value),
        )
    }

    fn load(self, register: u32, value: &[u8]) -> Self {
        let value = Attributes::default().bytes(1, value);
        self.add("immediate", Attributes::default().be32(1, register).nested(2, value))
    }

    fn verdict(self, code: i32, chain: Option<&str>) -> Self {
        let verdict = Attributes::default().be32(1, code as u32);
        let verdict =
            chain.into_iter().fold(verdict, |verdict, chain| verdict.text(2, chain));
        let data = Attributes::default().nested(2, verdict);
        self.add("immediate", Attributes::default().be32(1, 0).nested(2, data))
    }

    fn add(mut self, name: &str, data: Attributes) -> Self {
        let expression = Attributes::default().text(1, name).nested(2, data);
        self.expressions = self.expressions.nested(1, expression);
        self
    }

    fn says(mut self, words: impl fmt::Display) -> Self {
        let space = if self.text.is_empty() { "" } else { " " };
        self.text += &format!("{space}{words}");
        self
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A link's name as the kernel has it, IFNAMSIZ bytes.
fn link_name(name: &str) -> [u8; 16] {
    let mut padded = [0; 16];
    let length = name.len().min(15);
    padded[..length].copy_from_slice(&name.as_bytes()[..length]);
    padded
}
