//! What is there: the chains of all tables, and their rules.

use std::io;

use anyhow::Result;

use super::message::{find, find_number, find_text, read};
use super::socket::NFTABLES;
use super::{Family, is_unknown, socket};

// linux/netfilter/nf_tables.h: enum nf_tables_msg_types
const GETCHAIN: u16 = 4;
const GETRULE: u16 = 7;

/// A chain of any table.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) family: Family,
    pub(crate) table: String,
    pub(crate) name: String,
    /// Which hook it is at: enum nf_inet_hooks. None: rules send packets to it.
    pub(crate) hook: Option<u32>,
    /// Whether what no rule stops goes nowhere.
    pub(crate) drops: bool,
}

/// A rule of any chain.
#[derive(Clone, Debug)]
pub(crate) struct FoundRule {
    pub(crate) family: Family,
    pub(crate) table: String,
    pub(crate) chain: String,
    pub(crate) handle: u64,
    pub(crate) comment: String,
    /// What becomes of every packet that comes by it. None: that depends on the packet,
    /// or it goes on.
    pub(crate) end: Option<End>,
}

/// The end of a packet's way through a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It goes nowhere.
    Stopped,
    /// It leaves the chain: accept, return.
    Left,
}

/// All chains and rules of IPv4 and IPv6.
#[derive(Debug, Default)]
pub(crate) struct Ruleset {
    pub(crate) chains: Vec<Chain>,
    pub(crate) rules: Vec<FoundRule>,
}

impl kit::Outcome for Ruleset {
    fn show(&self) -> Option<String> {
        Some(format!("{} chains, {} rules", self.chains.len(), self.rules.len()))
    }
}

impl Ruleset {
    /// Asks the kernel.
    ///
    /// # Errors
    /// What it says. A kernel without nf_tables has no rules.
    pub(crate) fn read(why: &str) -> Result<Self> {
        kit::call(why, "nf_tables", "NFT_MSG_GETCHAIN, NFT_MSG_GETRULE", || {
            match read_all() {
                Err(error) if is_unknown(&error) => Ok(Ruleset::default()),
                done => done,
            }
        })
    }
}

fn read_all() -> io::Result<Ruleset> {
    let chains = socket::dump(NFTABLES << 8 | GETCHAIN)?
        .iter()
        .filter_map(|(family, bytes)| chain(*family, bytes))
        .collect();
    let rules = socket::dump(NFTABLES << 8 | GETRULE)?
        .iter()
        .filter_map(|(family, bytes)| rule(*family, bytes))
        .collect();
    Ok(Ruleset { chains, rules })
}

fn chain(family: u8, bytes: &[u8]) -> Option<Chain> {
    let attributes = read(bytes);
    let hook = find(&attributes, 4).and_then(|hook| find_number(&read(hook), 1));
    Some(Chain {
        family: Family::of_number(family)?,
        table: find_text(&attributes, 1)?,
        name: find_text(&attributes, 3)?,
        hook,
        drops: find_number(&attributes, 5) == Some(0),
    })
}

fn rule(family: u8, bytes: &[u8]) -> Option<FoundRule> {
    let attributes = read(bytes);
    let handle = find(&attributes, 3)?;
    Some(FoundRule {
        family: Family::of_number(family)?,
        table: find_text(&attributes, 1)?,
        chain: find_text(&attributes, 2)?,
        handle: u64::from_be_bytes(handle.try_into().ok()?),
        comment: find(&attributes, 7).map(comment).unwrap_or_default(),
        end: find(&attributes, 4).and_then(end),
    })
}

/// libnftnl, NFTNL_UDATA_RULE_COMMENT: kind 0, length, text.
fn comment(data: &[u8]) -> String {
    let text = match data {
        [0, length, text @ ..] => text.get(..usize::from(*length)).unwrap_or_default(),
        _ => &[],
    };
    String::from_utf8_lossy(text).trim_end_matches('\0').into()
}

/// Of a rule that looks at nothing of the packet.
fn end(expressions: &[u8]) -> Option<End> {
    let expressions: Vec<_> =
        read(expressions).into_iter().map(|(_, expression)| read(expression)).collect();
    let name =
        |expression: &[(u16, &[u8])]| find_text(expression, 1).unwrap_or_default();
    let looks_on = |expression: &Vec<(u16, &[u8])>| {
        !["counter", "log"].contains(&&*name(expression))
    };
    let acts: Vec<_> =
        expressions.iter().filter(|expression| looks_on(expression)).collect();
    let [only] = acts[..] else { return None };
    match (name(only).as_str(), find(only, 2)) {
        ("reject", _) => Some(End::Stopped),
        // NFTA_IMMEDIATE_DATA, NFTA_DATA_VERDICT, NFTA_VERDICT_CODE
        ("immediate", Some(data)) => {
            let verdict = find(&read(data), 2).and_then(|data| find(&read(data), 2));
            match verdict.and_then(|verdict| find_number(&read(verdict), 1))? as i32 {
                0 => Some(End::Stopped),   // NF_DROP
                1 | -5 => Some(End::Left), // NF_ACCEPT, NFT_RETURN
                _ => None,
            }
        }
        // iptables-nft keeps targets of xtables as they are: REJECT
        ("target", Some(data)) => (find_text(&read(data), 1).as_deref()
            == Some("REJECT"))
        .then_some(End::Stopped),
        _ => None,
    }
}
