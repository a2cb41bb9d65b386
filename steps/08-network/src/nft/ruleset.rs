//! Lists the chains of all tables and their rules, those of other programs as well.

use std::io;

use anyhow::Result;

use super::condition::{self, Condition, Verdict};
use super::{ChainId, Family, NFTABLES, attributes, family, is_unknown, message};
use crate::netlink::message::{Attributes, find, find_be32, find_text, parse};
use crate::netlink::socket::Socket;

// linux/netfilter/nf_tables.h: enum nf_tables_msg_types
const GETCHAIN: u16 = libc::NFT_MSG_GETCHAIN as u16;
const GETRULE: u16 = libc::NFT_MSG_GETRULE as u16;

/// A chain of any table.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) id: ChainId,
    /// The hook that calls it: enum nf_inet_hooks. None: rules jump to it.
    pub(crate) hook: Option<u32>,
    /// Whether it drops the packets that no rule accepts.
    pub(crate) has_drop_policy: bool,
}

/// A rule of any chain.
#[derive(Clone, Debug)]
pub(crate) struct ExistingRule {
    pub(crate) chain: ChainId,
    pub(crate) handle: u64,
    pub(crate) comment: String,
    /// The verdict on the packets that meet the conditions. None: such a packet goes on
    /// to the next rule.
    pub(crate) verdict: Option<Verdict>,
    /// The conditions on a packet.
    pub(crate) conditions: Vec<Condition>,
}

/// All chains and rules of IPv4 and IPv6.
#[derive(Debug, Default)]
pub(crate) struct Ruleset {
    pub(crate) chains: Vec<Chain>,
    pub(crate) rules: Vec<ExistingRule>,
}

impl kit::Outcome for Ruleset {
    fn show(&self) -> Option<String> {
        Some(format!("{} chains, {} rules", self.chains.len(), self.rules.len()))
    }
}

impl Ruleset {
    /// Lists all chains and rules. A kernel without nf_tables has none.
    pub(crate) fn read(why: &str) -> Result<Self> {
        kit::call(why, "nf_tables", "NFT_MSG_GETCHAIN, NFT_MSG_GETRULE", || {
            match list_all() {
                Err(error) if is_unknown(&error) => Ok(Ruleset::default()),
                done => done,
            }
        })
    }
}

fn list_all() -> io::Result<Ruleset> {
    let mut socket = Socket::netfilter()?;
    let mut list =
        |kind| socket.dump(&message(NFTABLES, kind, 0, Attributes::default()));
    let chains = list(GETCHAIN)?.iter().filter_map(|entry| chain(entry)).collect();
    let rules = list(GETRULE)?.iter().filter_map(|entry| rule(entry)).collect();
    Ok(Ruleset { chains, rules })
}

fn chain(entry: &[u8]) -> Option<Chain> {
    let found = parse(attributes(entry));
    let hook = find(&found, 4).and_then(|hook| find_be32(&parse(hook), 1));
    Some(Chain {
        id: chain_id(entry, &found, 3)?,
        hook,
        has_drop_policy: find_be32(&found, 5) == Some(0),
    })
}

/// Finds the chain of an entry: the attribute 1 is its table, `name` its own name.
fn chain_id(entry: &[u8], found: &[(u16, &[u8])], name: u16) -> Option<ChainId> {
    let family = Family::of_number(family(entry))?;
    Some(ChainId::new(family, find_text(found, 1)?, find_text(found, name)?))
}

fn rule(entry: &[u8]) -> Option<ExistingRule> {
    let found = parse(attributes(entry));
    let handle = find(&found, 3)?;
    let (conditions, verdict) =
        find(&found, 4).map(condition::parse_rule).unwrap_or_default();
    Some(ExistingRule {
        chain: chain_id(entry, &found, 2)?,
        handle: u64::from_be_bytes(handle.try_into().ok()?),
        comment: find(&found, 7).map(comment).unwrap_or_default(),
        verdict,
        conditions,
    })
}

/// Parses a comment: libnftnl, NFTNL_UDATA_RULE_COMMENT: type 0, length, text.
fn comment(data: &[u8]) -> String {
    let text = match data {
        [0, length, text @ ..] => text.get(..usize::from(*length)).unwrap_or_default(),
        _ => &[],
    };
    String::from_utf8_lossy(text).trim_end_matches('\0').into()
}
