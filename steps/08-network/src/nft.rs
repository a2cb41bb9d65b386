//! nf_tables, the kernel's packet filter, through the netlink messages that nft(8)
//! sends.
//!
//! - [`Rule`]: the conditions on a packet, and the verdict.
//! - [`Batch`]: changes of tables, chains and rules, all at once or not at all.
//! - [`Ruleset`]: lists the chains and rules that exist, of any program.
//! - [`read_legacy`]: lists those of the old iptables in the same form.
//! - [`delete_connections`]: deletes tracked connections, which outlive rules.

mod batch;
mod condition;
mod conntrack;
mod expression;
mod legacy;
mod rule;
mod ruleset;
mod xt_entry;
mod xt_match;
mod xt_rule;

pub(crate) use batch::Batch;
pub(crate) use condition::{Condition, Property, Verdict};
pub(crate) use conntrack::{ObsoleteConnections, delete_connections};
pub(crate) use legacy::read_legacy;
pub(crate) use rule::Rule;
pub(crate) use ruleset::{Chain, ExistingRule, Ruleset, rules_of};

use std::fmt;
use std::net::IpAddr;

use crate::netlink::message::{Attributes, Message};

/// The packets that a table sees: NFPROTO_* of linux/netfilter.h.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// The frames that a bridge passes, of any protocol.
    Bridge,
}

impl Family {
    fn number(self) -> u8 {
        match self {
            Family::Inet => libc::NFPROTO_INET as u8,
            Family::Ip => libc::NFPROTO_IPV4 as u8,
            Family::Ip6 => libc::NFPROTO_IPV6 as u8,
            Family::Bridge => libc::NFPROTO_BRIDGE as u8,
        }
    }

    /// Tells whether a table of this family sees the packets of an address.
    pub(crate) fn sees(self, ip: IpAddr) -> bool {
        match self {
            Family::Inet | Family::Bridge => true,
            Family::Ip => ip.is_ipv4(),
            Family::Ip6 => ip.is_ipv6(),
        }
    }

    /// The family of a table whose chains are listed. Tables for the frames of bridges
    /// are left out, because they have other hooks.
    fn of_number(number: u8) -> Option<Self> {
        [Family::Inet, Family::Ip, Family::Ip6]
            .into_iter()
            .find(|family| family.number() == number)
    }

    /// The name that nft(8) uses.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Family::Inet => "inet",
            Family::Ip => "ip",
            Family::Ip6 => "ip6",
            Family::Bridge => "bridge",
        }
    }
}

/// Identifies a chain of a table.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub(crate) struct ChainId {
    pub(crate) family: Family,
    pub(crate) table: String,
    pub(crate) chain: String,
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ChainId { family, table, chain } = self;
        write!(f, "{} {table} {chain}", family.name())
    }
}

impl ChainId {
    /// Tells whether iptables-nft(8) owns the table of this base chain: nft(8) does not
    /// write the names of chains in capitals.
    pub(crate) fn is_of_iptables(&self) -> bool {
        self.family != Family::Inet
            && ["filter", "mangle", "raw", "security"].contains(&self.table.as_str())
            && ["INPUT", "FORWARD"].contains(&self.chain.as_str())
    }

    pub(crate) fn new(
        family: Family,
        table: impl Into<String>,
        chain: impl Into<String>,
    ) -> Self {
        ChainId { family, table: table.into(), chain: chain.into() }
    }
}

/// linux/netfilter/nfnetlink.h: the subsystem of nf_tables.
const NFTABLES: u16 = libc::NFNL_SUBSYS_NFTABLES as u16;

/// The length of struct nfgenmsg: family, version, resource id.
const FIXED_LENGTH: usize = 4;

/// Makes a message to a subsystem of netfilter: the upper half of the message type.
fn message(subsystem: u16, kind: u16, family: u8, attributes: Attributes) -> Message {
    Message::new(subsystem << 8 | kind, &[family, 0, 0, 0], attributes)
}

/// The family of an entry of a list.
fn family(entry: &[u8]) -> u8 {
    entry.first().copied().unwrap_or_default()
}

/// The attributes of an entry of a list.
fn attributes(entry: &[u8]) -> &[u8] {
    entry.get(FIXED_LENGTH..).unwrap_or_default()
}

/// Tells whether an error says that the kernel does not know the subsystem.
fn is_unknown(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EPROTONOSUPPORT | libc::EOPNOTSUPP | libc::EINVAL)
    )
}
