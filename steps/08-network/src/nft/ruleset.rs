//! Lists the chains of all tables and their rules, those of other programs as well.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::rc::Rc;

use anyhow::Result;

use super::condition::{Condition, Verdict};
use super::expression;
use super::{ChainId, Family, NFTABLES, attributes, family, is_unknown, message};
use crate::netlink::message::{Attributes, Message, find, find_be32, find_text, parse};
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
    pub(crate) handle: u64,
    pub(crate) comment: String,
    /// The verdict on the packets that meet the conditions. None: such a packet goes on
    /// to the next rule.
    pub(crate) verdict: Option<Verdict>,
    /// The conditions on a packet.
    pub(crate) conditions: Vec<Condition>,
}

/// All chains of IPv4 and IPv6, and the rules of those that were looked at. A host may
/// have tens of thousands of rules in chains that no packet of a container enters, so
/// the rules of a chain are read when they are asked for.
#[derive(Debug, Default)]
pub(crate) struct Ruleset {
    pub(crate) chains: Vec<Chain>,
    rules: BTreeMap<ChainId, Rc<[ExistingRule]>>,
}

impl Ruleset {
    /// Lists all chains. A kernel without nf_tables has none.
    pub(crate) fn read(why: &str) -> Result<Self> {
        let all = message(NFTABLES, GETCHAIN, 0, Attributes::default());
        let chains = list(why, "NFT_MSG_GETCHAIN", "", &all, parse_chain)?;
        Ok(Ruleset { chains, rules: BTreeMap::new() })
    }

    /// Sets the rules of a chain, which another source than nf_tables has.
    pub(super) fn set_rules(&mut self, chain: ChainId, rules: Vec<ExistingRule>) {
        self.rules.insert(chain, rules.into());
    }

    /// Lists the rules of a chain; reads them only once.
    pub(crate) fn rules(&mut self, chain: &ChainId) -> Result<Rc<[ExistingRule]>> {
        if let Some(rules) = self.rules.get(chain) {
            return Ok(Rc::clone(rules));
        }
        let rules: Rc<[_]> = rules_of("the rules of this chain", chain)?.into();
        self.rules.insert(chain.clone(), Rc::clone(&rules));
        Ok(rules)
    }
}

/// Lists the rules of a chain. A chain that does not exist has none.
pub(crate) fn rules_of(why: &str, chain: &ChainId) -> Result<Vec<ExistingRule>> {
    // NFTA_RULE_TABLE, NFTA_RULE_CHAIN: the kernel sends the rules of this chain alone.
    let which = Attributes::default().text(1, &chain.table).text(2, &chain.chain);
    let of_chain = message(NFTABLES, GETRULE, chain.family.number(), which);
    list(why, "NFT_MSG_GETRULE", chain, &of_chain, parse_rule)
}

fn list<T>(
    why: &str,
    name: &str,
    operands: impl Display,
    request: &Message,
    parse: impl Fn(&[u8]) -> Option<T>,
) -> Result<Vec<T>> {
    let mut found = Vec::new();
    kit::call(why, name, operands, || {
        found = match Socket::netfilter()?.dump_parsed(request, parse) {
            Err(error) if is_unknown(&error) => Vec::new(),
            entries => entries?,
        };
        Ok::<_, io::Error>(found.len())
    })?;
    Ok(found)
}

fn parse_chain(entry: &[u8]) -> Option<Chain> {
    let found = parse(attributes(entry));
    let family = Family::of_number(family(entry))?;
    let hook = find(&found, 4).and_then(|hook| find_be32(&parse(hook), 1));
    Some(Chain {
        id: ChainId::new(family, find_text(&found, 1)?, find_text(&found, 3)?),
        hook,
        has_drop_policy: find_be32(&found, 5) == Some(0),
    })
}

fn parse_rule(entry: &[u8]) -> Option<ExistingRule> {
    let found = parse(attributes(entry));
    let handle = find(&found, 3)?;
    let expressions = find(&found, 4).unwrap_or_default();
    let (conditions, verdict) = expression::parse_rule(expressions);
    let comment = match find(&found, 7) {
        Some(data) => Some(parse_comment(data)),
        None => expression::find_comment(expressions),
    };
    Some(ExistingRule {
        handle: u64::from_be_bytes(handle.try_into().ok()?),
        comment: comment.unwrap_or_default(),
        verdict,
        conditions,
    })
}

/// Parses a comment: libnftnl, NFTNL_UDATA_RULE_COMMENT: type 0, length, text.
fn parse_comment(data: &[u8]) -> String {
    let text = match data {
        [0, length, text @ ..] => text.get(..usize::from(*length)).unwrap_or_default(),
        _ => &[],
    };
    String::from_utf8_lossy(text).trim_end_matches('\0').into()
}
