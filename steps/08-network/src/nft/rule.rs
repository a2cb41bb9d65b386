//! A rule: conditions on a packet, and a verdict.
//!
//! The kernel has a few registers. One expression loads a part of the packet into a
//! register, and the next one compares it. If they differ, the rule does not apply. See
//! linux/netfilter/nf_tables.h. The methods have the names of nft(8).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use libc::c_int;

use super::Family;
use crate::netlink::Mac;
use crate::netlink::message::{Attributes, octets};
use crate::port::Protocol;
use crate::subnet::Subnet;

/// A rule. Its `Display` prints what `nft list ruleset` prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    expressions: Attributes,
    text: String,
    comment: String,
}

// Two registers of 16 bytes.
const REGISTER_1: u32 = libc::NFT_REG_1 as u32;
const REGISTER_2: u32 = libc::NFT_REG_2 as u32;

const EQUAL: u32 = libc::NFT_CMP_EQ as u32;
const DIFFERENT: u32 = libc::NFT_CMP_NEQ as u32;

// The headers of a packet.
const LINK: u32 = libc::NFT_PAYLOAD_LL_HEADER as u32;
const NETWORK: u32 = libc::NFT_PAYLOAD_NETWORK_HEADER as u32;
const TRANSPORT: u32 = libc::NFT_PAYLOAD_TRANSPORT_HEADER as u32;

impl Rule {
    /// Begins a rule. Its comment names the network or the container that it is for.
    pub(crate) fn with_comment(comment: impl fmt::Display) -> Self {
        Rule { comment: comment.to_string(), ..Rule::default() }
    }

    /// Matches packets of the same IP version as `ip`.
    pub(crate) fn nfproto(self, ip: IpAddr) -> Self {
        let (number, name) = if ip.is_ipv4() { (2, "ipv4") } else { (10, "ipv6") };
        self.describe(format_args!("meta nfproto {name}"))
            .meta(libc::NFT_META_NFPROTO)
            .compare(EQUAL, &[number])
    }

    /// Matches packets that arrive on this link.
    pub(crate) fn iifname(self, name: &str) -> Self {
        self.link("iifname", libc::NFT_META_IIFNAME, EQUAL, name)
    }

    /// Matches packets that do not arrive on this link.
    pub(crate) fn iifname_not(self, name: &str) -> Self {
        self.link("iifname !=", libc::NFT_META_IIFNAME, DIFFERENT, name)
    }

    /// Matches packets that leave through this link.
    pub(crate) fn oifname(self, name: &str) -> Self {
        self.link("oifname", libc::NFT_META_OIFNAME, EQUAL, name)
    }

    /// Matches packets that do not leave through this link.
    pub(crate) fn oifname_not(self, name: &str) -> Self {
        self.link("oifname !=", libc::NFT_META_OIFNAME, DIFFERENT, name)
    }

    /// Matches packets from this subnet.
    pub(crate) fn saddr(self, subnet: Subnet) -> Self {
        let offset = if subnet.ip().is_ipv4() { 12 } else { 8 };
        self.nfproto(subnet.ip())
            .describe(format_args!("saddr {subnet}"))
            .address(offset, subnet)
    }

    /// Matches packets to this subnet.
    pub(crate) fn daddr(self, subnet: Subnet) -> Self {
        let offset = if subnet.ip().is_ipv4() { 16 } else { 24 };
        self.nfproto(subnet.ip())
            .describe(format_args!("daddr {subnet}"))
            .address(offset, subnet)
    }

    /// Matches packets to this address, in a table of `family`. A table for IPv4 or
    /// IPv6 alone needs no condition on the IP version, and nft(8) cannot list one
    /// there.
    pub(crate) fn daddr_in(self, family: Family, ip: IpAddr) -> Self {
        if family == Family::Inet {
            return self.daddr(Subnet::single(ip));
        }
        let (offset, name) = if ip.is_ipv4() { (16, "ip") } else { (24, "ip6") };
        self.describe(format_args!("{name} daddr {ip}"))
            .address(offset, Subnet::single(ip))
    }

    /// Matches frames whose source is another MAC address, in a table of bridges.
    pub(crate) fn ether_saddr_not(self, mac: Mac) -> Self {
        self.describe(format_args!("ether saddr != {mac}"))
            .payload(LINK, 6, 6)
            .compare(DIFFERENT, &mac.0)
    }

    /// Matches packets from this subnet, in a table of bridges.
    pub(crate) fn bridged_saddr(self, subnet: Subnet) -> Self {
        let (kind, name, offset) = match subnet.ip() {
            IpAddr::V4(_) => (libc::ETH_P_IP, "ip", 12),
            IpAddr::V6(_) => (libc::ETH_P_IPV6, "ip6", 8),
        };
        self.ether_type(kind)
            .describe(format_args!("{name} saddr {subnet}"))
            .address(offset, subnet)
    }

    /// Matches ARP messages in which these are the sender's addresses (RFC 826), in a
    /// table of bridges.
    pub(crate) fn arp_saddr(self, mac: Mac, ip: Ipv4Addr) -> Self {
        self.ether_type(libc::ETH_P_ARP)
            .describe(format_args!("arp saddr ether {mac} arp saddr ip {ip}"))
            .payload(NETWORK, 8, 6)
            .compare(EQUAL, &mac.0)
            .payload(NETWORK, 14, 4)
            .compare(EQUAL, &ip.octets())
    }

    fn ether_type(self, kind: c_int) -> Self {
        let number = (kind as u16).to_be_bytes();
        self.meta(libc::NFT_META_PROTOCOL).compare(EQUAL, &number)
    }

    /// Matches packets to the host's own addresses.
    pub(crate) fn daddr_is_local(self) -> Self {
        // NFT_FIB_RESULT_ADDRTYPE of the destination (NFTA_FIB_F_DADDR) is RTN_LOCAL.
        let lookup = Attributes::default().be32(1, REGISTER_1).be32(2, 3).be32(3, 2);
        self.describe("fib daddr type local")
            .add("fib", lookup)
            .compare(EQUAL, &2u32.to_ne_bytes())
    }

    /// Matches packets to this port.
    pub(crate) fn dport(self, protocol: Protocol, port: u16) -> Self {
        let l4 = self
            .describe(format_args!("{protocol} dport {port}"))
            .meta(libc::NFT_META_L4PROTO)
            .compare(EQUAL, &[protocol.number()]);
        // Both TCP and UDP have the destination port at this place.
        l4.payload(TRANSPORT, 2, 2).compare(EQUAL, &port.to_be_bytes())
    }

    /// Matches ICMP, or ICMPv6, without which IPv6 finds no neighbour.
    pub(crate) fn icmp(self, ip: IpAddr) -> Self {
        let (number, name) = if ip.is_ipv4() { (1, "icmp") } else { (58, "ipv6-icmp") };
        self.nfproto(ip)
            .describe(format_args!("meta l4proto {name}"))
            .meta(libc::NFT_META_L4PROTO)
            .compare(EQUAL, &[number])
    }

    /// Matches packets of a connection that has had packets in both directions, or that
    /// is related to one.
    pub(crate) fn ct_established(self) -> Self {
        // NF_CT_STATE_BIT of IP_CT_ESTABLISHED and of IP_CT_RELATED.
        let bits = 1 << 1 | 1 << 2;
        self.describe("ct state established,related")
            .connection(libc::NFT_CT_STATE, bits)
    }

    /// Matches packets of a connection whose destination was changed: it is to a
    /// published port.
    pub(crate) fn ct_dnat(self) -> Self {
        // enum ip_conntrack_status: IPS_DST_NAT
        self.describe("ct status dnat").connection(libc::NFT_CT_STATUS, 1 << 5)
    }

    /// Lets the packet pass this chain.
    pub(crate) fn accept(self) -> Self {
        self.describe("accept").verdict(libc::NF_ACCEPT, None)
    }

    /// Drops the packet.
    pub(crate) fn drop(self) -> Self {
        self.describe("drop").verdict(libc::NF_DROP, None)
    }

    /// Drops the packet, and tells its sender that nobody listens at the port.
    pub(crate) fn reject(self, protocol: Protocol) -> Self {
        // NFTA_REJECT_TYPE, NFTA_REJECT_ICMP_CODE: NFT_REJECT_ICMPX_PORT_UNREACH.
        let (kind, code, words) = match protocol {
            Protocol::Tcp => (libc::NFT_REJECT_TCP_RST, 0, "reject with tcp reset"),
            Protocol::Udp => (libc::NFT_REJECT_ICMPX_UNREACH, 1, "reject"),
        };
        let answer = Attributes::default().be32(1, kind as u32).bytes(2, &[code]);
        self.describe(words).add("reject", answer)
    }

    /// Sends the packet back to the rule after the jump to this chain.
    pub(crate) fn return_back(self) -> Self {
        self.describe("return").verdict(libc::NFT_RETURN, None)
    }

    /// Sends the packet through another chain. It comes back unless a rule of
    /// that chain accepts or drops it.
    pub(crate) fn jump(self, chain: &str) -> Self {
        self.describe(format_args!("jump {chain}")).verdict(libc::NFT_JUMP, Some(chain))
    }

    /// Replaces the packet's source by the address of the link through which it leaves.
    pub(crate) fn masquerade(self) -> Self {
        self.describe("masquerade").add("masq", Attributes::default())
    }

    /// Replaces the packet's destination.
    pub(crate) fn dnat(self, ip: IpAddr, port: u16) -> Self {
        let (family, text) = match ip {
            IpAddr::V4(ip) => (libc::NFPROTO_IPV4, format!("dnat ip to {ip}:{port}")),
            IpAddr::V6(ip) => {
                (libc::NFPROTO_IPV6, format!("dnat ip6 to [{ip}]:{port}"))
            }
        };
        // The kernel takes address and port from registers.
        let nat = Attributes::default()
            .be32(1, libc::NFT_NAT_DNAT as u32)
            .be32(2, family as u32)
            .be32(3, REGISTER_1)
            .be32(5, REGISTER_2);
        let loaded = self
            .describe(text)
            .load(REGISTER_1, &octets(ip))
            .load(REGISTER_2, &port.to_be_bytes());
        loaded.add("nat", nat)
    }

    /// Packs the rule for the kernel, after the attributes that name its chain.
    pub(super) fn packed(&self, chain: Attributes) -> Attributes {
        let rule = chain.nested(4, self.expressions.clone());
        if self.comment.is_empty() {
            return rule;
        }
        // libnftnl, NFTNL_UDATA_RULE_COMMENT: type 0, length, text.
        let text = [self.comment.as_bytes(), &[0]].concat();
        rule.bytes(7, &[&[0, text.len() as u8], &text[..]].concat())
    }

    /// Compares the name of a link. `words` describe the condition.
    fn link(self, words: &str, key: c_int, operator: u32, name: &str) -> Self {
        // The kernel compares IFNAMSIZ bytes.
        let mut padded = [0; libc::IFNAMSIZ];
        let length = name.len().min(padded.len() - 1);
        padded[..length].copy_from_slice(&name.as_bytes()[..length]);
        self.describe(format_args!("{words} \"{name}\""))
            .meta(key)
            .compare(operator, &padded)
    }

    fn meta(self, key: c_int) -> Self {
        self.add("meta", Attributes::default().be32(1, REGISTER_1).be32(2, key as u32))
    }

    /// Loads bytes of a header.
    fn payload(self, header: u32, offset: u32, length: u32) -> Self {
        let place = Attributes::default()
            .be32(1, REGISTER_1)
            .be32(2, header)
            .be32(3, offset)
            .be32(4, length);
        self.add("payload", place)
    }

    fn address(self, offset: u32, subnet: Subnet) -> Self {
        let network = octets(subnet.network().ip());
        let loaded = self.payload(NETWORK, offset, network.len() as u32);
        let mask = octets(subnet.mask());
        let masked = if usize::from(subnet.prefix()) < 8 * mask.len() {
            loaded.keep_bits(&mask)
        } else {
            loaded
        };
        masked.compare(EQUAL, &network)
    }

    fn connection(self, key: c_int, bits: u32) -> Self {
        let key = key as u32;
        let loaded =
            self.add("ct", Attributes::default().be32(1, REGISTER_1).be32(2, key));
        loaded.keep_bits(&bits.to_ne_bytes()).compare(DIFFERENT, &[0; 4])
    }

    fn keep_bits(self, mask: &[u8]) -> Self {
        let value = |bytes: &[u8]| Attributes::default().bytes(1, bytes);
        let bitwise = Attributes::default()
            .be32(1, REGISTER_1)
            .be32(2, REGISTER_1)
            .be32(3, mask.len() as u32);
        self.add(
            "bitwise",
            bitwise.nested(4, value(mask)).nested(5, value(&vec![0; mask.len()])),
        )
    }

    fn compare(self, operator: u32, with: &[u8]) -> Self {
        let value = Attributes::default().bytes(1, with);
        self.add(
            "cmp",
            Attributes::default()
                .be32(1, REGISTER_1)
                .be32(2, operator)
                .nested(3, value),
        )
    }

    fn load(self, register: u32, value: &[u8]) -> Self {
        let value = Attributes::default().bytes(1, value);
        self.add("immediate", Attributes::default().be32(1, register).nested(2, value))
    }

    fn verdict(self, code: c_int, chain: Option<&str>) -> Self {
        let verdict = Attributes::default().be32(1, code as u32);
        let verdict =
            chain.into_iter().fold(verdict, |verdict, chain| verdict.text(2, chain));
        let data = Attributes::default().nested(2, verdict);
        self.add("immediate", Attributes::default().be32(1, 0).nested(2, data))
    }

    pub(super) fn add(mut self, name: &str, data: Attributes) -> Self {
        let expression = Attributes::default().text(1, name).nested(2, data);
        self.expressions = self.expressions.nested(1, expression);
        self
    }

    pub(super) fn describe(mut self, words: impl fmt::Display) -> Self {
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
