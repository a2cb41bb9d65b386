//! nf_tables: what the kernel does with packets on their way, told in netlink messages,
//! as nft(8) does it.
//!
//! - `message`: numbers and names, packed as the kernel wants them.
//! - [`Rule`]: what to look at in a packet, and what to do with it.
//! - [`Batch`]: tables, chains and rules that come to be all at once, or not at all.
//! - [`forget`]: connections, which outlive rules.
//! - `ruleset`: what is there, of ours and of others'.

mod batch;
mod conntrack;
mod message;
mod rule;
mod ruleset;
mod socket;

pub(crate) use batch::{Batch, ChainType, Hook};
pub(crate) use conntrack::forget;
pub(crate) use rule::{Rule, ct};
pub(crate) use ruleset::{Chain, End, FoundRule, Ruleset};

/// Which packets a table sees: NFPROTO_* of linux/netfilter.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
}

impl Family {
    fn number(self) -> u8 {
        match self {
            Family::Inet => 1,
            Family::Ip => 2,
            Family::Ip6 => 10,
        }
    }

    fn of_number(number: u8) -> Option<Self> {
        [Family::Inet, Family::Ip, Family::Ip6]
            .into_iter()
            .find(|family| family.number() == number)
    }

    /// As nft(8) calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Family::Inet => "inet",
            Family::Ip => "ip",
            Family::Ip6 => "ip6",
        }
    }
}

/// Whether the kernel has no such thing as was asked for.
fn is_unknown(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EPROTONOSUPPORT | libc::EOPNOTSUPP | libc::EINVAL)
    )
}
