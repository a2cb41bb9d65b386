//! A transaction: changes of tables, chains and rules that the kernel makes all at
//! once, or not at all.

use std::fmt::Display;
use std::io;

use anyhow::Result;
use kit::Hint;
use libc::c_int;
use nix::errno::Errno;

use super::rule::Rule;
use super::{ChainId, Family, NFTABLES, message};
use crate::netlink::message::{Attributes, Message};
use crate::netlink::socket::{ACK, APPEND, CREATE, REQUEST, Socket};

// linux/netfilter/nfnetlink.h
const BATCH_BEGIN: u16 = libc::NFNL_MSG_BATCH_BEGIN as u16;
const BATCH_END: u16 = libc::NFNL_MSG_BATCH_END as u16;
// linux/netfilter/nf_tables.h: enum nf_tables_msg_types
const NEWTABLE: u16 = libc::NFT_MSG_NEWTABLE as u16;
const DELTABLE: u16 = libc::NFT_MSG_DELTABLE as u16;
const NEWCHAIN: u16 = libc::NFT_MSG_NEWCHAIN as u16;
const NEWRULE: u16 = libc::NFT_MSG_NEWRULE as u16;
const DELRULE: u16 = libc::NFT_MSG_DELRULE as u16;

/// Changes that are sent together, each with its flags.
#[derive(Default)]
pub(crate) struct Batch(Vec<(Message, u16)>);

impl Batch {
    /// Adds a table. It is no error if it exists already.
    pub(crate) fn add_table(&mut self, family: Family, name: &str) {
        self.push(NEWTABLE, CREATE, family, Attributes::default().text(1, name));
    }

    /// Deletes a table with its chains and rules.
    pub(crate) fn delete_table(&mut self, family: Family, name: &str) {
        self.push(DELTABLE, 0, family, Attributes::default().text(1, name));
    }

    /// Adds a base chain, which a hook calls. Its policy is accept. `kind` is its type,
    /// as nft(8) calls it: `filter` or `nat`.
    pub(crate) fn add_base_chain(
        &mut self,
        id: &ChainId,
        kind: &str,
        hook: c_int,
        priority: c_int,
    ) {
        // NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY
        let hook = Attributes::default().be32(1, hook as u32).be32(2, priority as u32);
        let chain = new_chain(id).nested(4, hook).text(7, kind);
        self.push(NEWCHAIN, CREATE, id.family, chain);
    }

    /// Adds a chain that rules jump to.
    pub(crate) fn add_chain(&mut self, id: &ChainId) {
        self.push(NEWCHAIN, CREATE, id.family, new_chain(id));
    }

    /// Adds a rule at the end of a chain.
    pub(crate) fn append(&mut self, chain: &ChainId, rule: &Rule) {
        let rule = rule.packed(in_chain(chain));
        self.push(NEWRULE, CREATE | APPEND, chain.family, rule);
    }

    /// Inserts a rule in front of the rule with this handle.
    pub(crate) fn insert(&mut self, chain: &ChainId, rule: &Rule, before: u64) {
        let rule = rule.packed(in_chain(chain)).be64(6, before);
        self.push(NEWRULE, CREATE, chain.family, rule);
    }

    /// Deletes the rule with this handle.
    pub(crate) fn delete_rule(&mut self, chain: &ChainId, handle: u64) {
        self.push(DELRULE, 0, chain.family, in_chain(chain).be64(3, handle));
    }

    /// Sends the changes. If the kernel refuses one of them, it makes none of
    /// them.
    pub(crate) fn commit(self, why: &str, operands: impl Display) -> Result<()> {
        let lacks_nf_tables =
            "this kernel has no nf_tables with NAT: `doctor` says what it needs";
        kit::call(why, "nf_tables", operands, || self.send())
            .hint_on(
                Errno::EPERM,
                "only root can change the firewall: use sudo, or --network none",
            )
            .hint_on(Errno::EOPNOTSUPP, lacks_nf_tables)
            .hint_on(Errno::EPROTONOSUPPORT, lacks_nf_tables)
    }

    fn send(&self) -> io::Result<()> {
        let last = self.0.len() as u32;
        let mut bytes = batch_marker(BATCH_BEGIN).packed(REQUEST, 0);
        for (sequence, (message, flags)) in (1..).zip(&self.0) {
            // A single acknowledgement suffices: the kernel reports every error anyway.
            let ack = if sequence == last { ACK } else { 0 };
            bytes.extend(message.packed(REQUEST | flags | ack, sequence));
        }
        bytes.extend(batch_marker(BATCH_END).packed(REQUEST, last + 1));
        let socket = Socket::netfilter()?;
        socket.send(&bytes)?;
        let done = socket.wait_for(last);
        socket.close_at_exit();
        done
    }

    fn push(&mut self, kind: u16, flags: u16, family: Family, change: Attributes) {
        self.0.push((message(NFTABLES, kind, family.number(), change), flags));
    }
}

fn new_chain(id: &ChainId) -> Attributes {
    Attributes::default().text(1, &id.table).text(3, &id.chain)
}

/// The first attributes of a rule: its table and its chain.
fn in_chain(id: &ChainId) -> Attributes {
    Attributes::default().text(1, &id.table).text(2, &id.chain)
}

/// The first or the last message of a transaction: its resource id is the subsystem.
fn batch_marker(kind: u16) -> Message {
    let [high, low] = NFTABLES.to_be_bytes();
    Message::new(kind, &[0, 0, high, low], Attributes::default())
}
