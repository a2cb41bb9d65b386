//! The rules of the old iptables (iptables-legacy(8)), which nf_tables does not list. The
//! kernel returns a table as it keeps it: linux/netfilter_ipv4/ip_tables.h,
//! linux/netfilter_ipv6/ip6_tables.h, linux/netfilter/x_tables.h.

use std::fs;
use std::io;

use anyhow::Result;
use rustix::net::SocketFlags;

use super::condition::Verdict;
use super::xt_entry::{IPV4, IPV6, Layout, number, short, text};
use super::{Chain, ChainId, ExistingRule, Ruleset};
use crate::port::Protocol;
use crate::sys;

const TABLE: &str = "filter";
// IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES; those of IPv6 have the same numbers.
const GET_INFO: libc::c_int = 64;
const GET_ENTRIES: libc::c_int = 65;
/// struct ipt_getinfo, and struct ipt_get_entries without the entries.
const INFO_LENGTH: usize = 84;
const HEAD_LENGTH: usize = 40;
/// The chains of the table: hooks 1 to 3, enum nf_inet_hooks.
const CHAINS: [(usize, &str); 3] = [(1, "INPUT"), (2, "FORWARD"), (3, "OUTPUT")];

/// Reads the tables `filter` of the old iptables. None: there are none.
///
/// # Errors
/// The kernel's reason.
pub(crate) fn read_legacy() -> Result<Option<Ruleset>> {
    let mut ruleset = None;
    for layout in [&IPV4, &IPV6] {
        let names = fs::read_to_string(layout.names).unwrap_or_default();
        if names.lines().any(|name| name == TABLE) {
            let why = "would a firewall of the old iptables drop its packets?";
            let table = kit::call(why, "getsockopt", "IPT_SO_GET_ENTRIES", || {
                Table::read(layout)
            })?;
            table.add_to(ruleset.get_or_insert_default());
        }
    }
    Ok(ruleset)
}

/// A table as the kernel returns it.
struct Table {
    layout: &'static Layout,
    info: [u8; INFO_LENGTH],
    entries: Vec<u8>,
}

impl kit::Outcome for Table {
    fn show(&self) -> Option<String> {
        Some(format!("{} bytes", self.entries.len()))
    }
}

impl Table {
    /// Reads the table; again if another program changes it meanwhile.
    fn read(layout: &'static Layout) -> io::Result<Self> {
        loop {
            match Self::read_once(layout) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    fn read_once(layout: &'static Layout) -> io::Result<Self> {
        let address = (layout.any_address, 0).into();
        let socket = Protocol::Udp.socket(address, SocketFlags::CLOEXEC)?;
        let mut info = [0; INFO_LENGTH];
        info[..TABLE.len()].copy_from_slice(TABLE.as_bytes());
        sys::ip_option(&socket, layout.level, GET_INFO, &mut info)?;
        let size = number(&info, 80);
        let mut answer = vec![0; HEAD_LENGTH + size];
        answer[..TABLE.len()].copy_from_slice(TABLE.as_bytes());
        answer[32..36].copy_from_slice(&(size as u32).to_ne_bytes());
        sys::ip_option(&socket, layout.level, GET_ENTRIES, &mut answer)?;
        Ok(Table { layout, info, entries: answer.split_off(HEAD_LENGTH) })
    }

    /// Adds the chains and their rules.
    fn add_to(&self, ruleset: &mut Ruleset) {
        let heads = self.heads();
        let id = |name: &str| ChainId::new(self.layout.family, TABLE, name);
        let mut chains: Vec<(ChainId, Vec<ExistingRule>)> = Vec::new();
        for (at, entry) in self.all() {
            if let Some((_, name)) = heads.iter().find(|(head, _)| *head == at) {
                chains.push((id(name), Vec::new()));
            }
            let rule = self.layout.parse_rule(entry, &heads);
            match CHAINS.iter().find(|(hook, _)| self.underflow(*hook) == at) {
                // The last entry of a built-in chain is its policy.
                Some((hook, name)) => ruleset.chains.push(Chain {
                    id: id(name),
                    hook: Some(*hook as u32),
                    has_drop_policy: rule.verdict == Some(Verdict::Drop),
                }),
                None => {
                    if let Some((_, rules)) = chains.last_mut() {
                        rules.push(rule);
                    }
                }
            }
        }
        chains.into_iter().for_each(|(id, rules)| ruleset.set_rules(id, rules));
    }

    /// The first entry of each chain, and the chain's name.
    fn heads(&self) -> Vec<(usize, String)> {
        let built_in = CHAINS
            .iter()
            .map(|(hook, name)| (number(&self.info, 36 + 4 * hook), (*name).into()));
        let mut heads: Vec<_> = built_in.collect();
        for (at, entry) in self.all() {
            // The head of another chain, and the end of the table, are a target of
            // their own, with the chain's name.
            let (name, data) = self.layout.target(entry);
            if name == "ERROR" {
                heads.push((at + entry.len(), text(data)));
            }
        }
        heads
    }

    fn underflow(&self, hook: usize) -> usize {
        number(&self.info, 56 + 4 * hook)
    }

    /// The entries, each with its place in the table.
    fn all(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let rest = self.entries.get(at..)?;
            let length = short(rest, self.layout.target_offset + 2);
            let entry = rest.get(..length).filter(|_| length > self.layout.length)?;
            at += length;
            Some((at - length, entry))
        })
    }
}
