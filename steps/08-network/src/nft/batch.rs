//! A change of tables, chains and rules that happens all at once, or not at all.

use std::fmt::Display;
use std::io;

use anyhow::Result;
use kit::Hint;
use nix::errno::Errno;

use super::message::{Attributes, message};
use super::rule::Rule;
use super::socket::{ACK, NFTABLES, REQUEST, open, receive, send};
use super::{Family, socket};

// linux/netfilter/nfnetlink.h
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
// linux/netfilter/nf_tables.h: enum nf_tables_msg_types
const NEWTABLE: u16 = 0;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const NEWRULE: u16 = 6;
const DELRULE: u16 = 8;
// linux/netlink.h
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

/// Where on its way a packet comes by a chain: enum nf_inet_hooks, and at which turn
/// among others'.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hook {
    /// As it comes in, before anything is known of its connection.
    Raw,
    /// As it comes in, before it is known where to.
    Prerouting,
    /// To the host itself.
    Input,
    /// Through the host.
    Forward,
    /// From the host itself.
    Output,
    /// As it goes out.
    Postrouting,
}

/// What a chain at a hook is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ChainType {
    /// It says which packets go on.
    Filter,
    /// It says which addresses they have.
    Nat,
}

/// Changes that are sent together.
pub(crate) struct Batch {
    bytes: Vec<u8>,
    sequence: u32,
    /// Where the last message begins.
    last: usize,
}

impl Batch {
    pub(crate) fn new() -> Self {
        let mut batch = Batch { bytes: Vec::new(), sequence: 0, last: 0 };
        batch.frame(BATCH_BEGIN);
        batch
    }

    /// Makes a table, unless it is there.
    pub(crate) fn add_table(&mut self, family: Family, name: &str) {
        self.push(NEWTABLE, CREATE, family, &Attributes::default().text(1, name));
    }

    /// Removes a table with all that is in it.
    pub(crate) fn delete_table(&mut self, family: Family, name: &str) {
        self.push(DELTABLE, 0, family, &Attributes::default().text(1, name));
    }

    /// Makes a chain that packets come by on their way; what no rule stops goes on.
    pub(crate) fn add_base_chain(
        &mut self,
        family: Family,
        table: &str,
        name: &str,
        kind: ChainType,
        hook: Hook,
    ) {
        // NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY: linux/netfilter_ipv4.h, NF_IP_PRI_*
        let (number, priority): (u32, i32) = match hook {
            Hook::Raw => (0, -300),
            Hook::Prerouting => (0, -100),
            Hook::Input => (1, 0),
            Hook::Forward => (2, 0),
            Hook::Output => (3, -100),
            Hook::Postrouting => (4, 100),
        };
        let kind = match kind {
            ChainType::Filter => "filter",
            ChainType::Nat => "nat",
        };
        let place = Attributes::default().number(1, number).number(2, priority as u32);
        let chain = Attributes::default()
            .text(1, table)
            .text(3, name)
            .nested(4, place)
            .text(7, kind);
        self.push(NEWCHAIN, CREATE, family, &chain);
    }

    /// Makes a chain to which rules can send packets.
    pub(crate) fn add_chain(&mut self, family: Family, table: &str, name: &str) {
        self.push(
            NEWCHAIN,
            CREATE,
            family,
            &Attributes::default().text(1, table).text(3, name),
        );
    }

    /// Adds a rule at the end of a chain.
    pub(crate) fn append(
        &mut self,
        family: Family,
        table: &str,
        chain: &str,
        rule: &Rule,
    ) {
        self.push(NEWRULE, CREATE | APPEND, family, &rule.packed(table, chain));
    }

    /// Adds a rule in front of the one that has this handle.
    pub(crate) fn insert(
        &mut self,
        family: Family,
        table: &str,
        chain: &str,
        rule: &Rule,
        before: u64,
    ) {
        self.push(NEWRULE, CREATE, family, &rule.packed(table, chain).long(6, before));
    }

    /// Removes one rule.
    pub(crate) fn delete_rule(
        &mut self,
        family: Family,
        table: &str,
        chain: &str,
        handle: u64,
    ) {
        let rule = Attributes::default().text(1, table).text(2, chain).long(3, handle);
        self.push(DELRULE, 0, family, &rule);
    }

    /// Has the kernel do it.
    ///
    /// # Errors
    /// What it says of the first change that it refuses; then it has made none.
    pub(crate) fn commit(mut self, why: &str, operands: impl Display) -> Result<()> {
        // Only the last change is acknowledged: what goes wrong before it is told in
        // any case.
        let flags =
            u16::from_ne_bytes([self.bytes[self.last + 6], self.bytes[self.last + 7]])
                | ACK;
        self.bytes[self.last + 6..self.last + 8].copy_from_slice(&flags.to_ne_bytes());
        let last = self.sequence;
        self.frame(BATCH_END);
        kit::call(why, "nf_tables", operands, || self.exchange(last))
            .hint_on(Errno::EPERM, "the host's packet filter is root's: use sudo, or --network none")
            .hint_on(
                Errno::EOPNOTSUPP,
                "this kernel has no nf_tables with NAT: `doctor` of this step says what",
            )
            .hint_on(Errno::EPROTONOSUPPORT, "this kernel has no nf_tables: `doctor` of this step says what")
    }

    fn exchange(&self, last: u32) -> io::Result<()> {
        let socket = open()?;
        send(&socket, &self.bytes)?;
        loop {
            for answer in receive(&socket)? {
                match answer.outcome() {
                    Some(Err(error)) => return Err(error),
                    Some(Ok(())) if answer.sequence == last => return Ok(()),
                    _ => {}
                }
            }
        }
    }

    fn push(&mut self, kind: u16, flags: u16, family: Family, body: &Attributes) {
        self.last = self.bytes.len();
        self.sequence += 1;
        let kind = NFTABLES << 8 | kind;
        self.bytes.extend(message(
            kind,
            REQUEST | flags,
            self.sequence,
            family.number(),
            0,
            body,
        ));
    }

    fn frame(&mut self, kind: u16) {
        self.sequence += 1;
        let nothing = Attributes::default();
        self.bytes.extend(message(
            kind,
            REQUEST,
            self.sequence,
            0,
            socket::NFTABLES,
            &nothing,
        ));
    }
}
