//! Walks a packet through the chains of other programs, to find the rule that drops it.

use anyhow::Result;

use crate::nft::{ChainId, Condition, ExistingRule, Property, Ruleset, Verdict};
use crate::port::Protocol;

/// A packet from or to a container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WalkedPacket<'a> {
    /// The link on which it arrives.
    pub(crate) from: &'a str,
    /// The link through which it leaves. None: it is addressed to the host.
    pub(crate) to: Option<&'a str>,
    pub(crate) protocol: Protocol,
    /// Its destination port. None: any port.
    pub(crate) port: Option<u16>,
    /// Whether it belongs to a connection that exists.
    pub(crate) is_answer: bool,
}

/// The kernel allows 16 jumps: NFT_JUMP_STACK_SIZE.
const MAX_JUMPS: usize = 16;

/// The end of a packet's way through a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WalkOutcome {
    Accepted,
    /// A rule of the chain `by` has dropped it. The rule at `position` of the chain where
    /// the walk began is this rule, or has led to it.
    Dropped {
        by: ChainId,
        position: usize,
    },
    /// No rule has decided.
    Undecided,
}

/// Whether a packet meets the conditions of a rule; the least is decisive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    No,
    /// A condition is not known.
    Perhaps,
    Yes,
}

impl Match {
    fn certain(is_met: bool) -> Self {
        if is_met { Match::Yes } else { Match::No }
    }
}

impl<'a> WalkedPacket<'a> {
    /// A container's question to the DNS responder.
    pub(crate) fn dns_question(bridge: &'a str) -> Self {
        let (protocol, port) = (Protocol::Udp, Some(53));
        WalkedPacket { from: bridge, to: None, protocol, port, is_answer: false }
    }

    /// The first packet of a container's connection to another host.
    pub(crate) fn first_to(uplink: &'a str, bridge: &'a str) -> Self {
        let (protocol, port) = (Protocol::Tcp, None);
        WalkedPacket {
            from: bridge,
            to: Some(uplink),
            protocol,
            port,
            is_answer: false,
        }
    }

    /// The answer to that packet.
    pub(crate) fn answer_from(uplink: &'a str, bridge: &'a str) -> Self {
        let (from, to) = (uplink, Some(bridge));
        WalkedPacket { from, to, is_answer: true, ..Self::first_to(uplink, bridge) }
    }

    /// Walks through a chain. A rule with an unknown condition may match or not. The
    /// better outcome counts, so a packet counts as dropped only if it certainly is.
    ///
    /// # Errors
    /// When the rules of a chain cannot be read.
    pub(crate) fn walk(
        &self,
        ruleset: &mut Ruleset,
        chain: &ChainId,
    ) -> Result<WalkOutcome> {
        self.walk_at(ruleset, chain, 0)
    }

    fn walk_at(
        &self,
        ruleset: &mut Ruleset,
        chain: &ChainId,
        depth: usize,
    ) -> Result<WalkOutcome> {
        if depth > MAX_JUMPS {
            return Ok(WalkOutcome::Undecided);
        }
        let walk_other = |ruleset: &mut Ruleset, name: &String| {
            let to = ChainId { chain: name.clone(), ..chain.clone() };
            self.walk_at(ruleset, &to, depth + 1)
        };
        let mut may_return = false;
        for (position, rule) in ruleset.rules(chain)?.iter().enumerate() {
            let is_certain = match self.matches(rule) {
                Match::No => continue,
                Match::Perhaps => false,
                Match::Yes => true,
            };
            let (outcome, comes_back) = match &rule.verdict {
                None => continue,
                Some(Verdict::Drop) => {
                    (WalkOutcome::Dropped { by: chain.clone(), position }, false)
                }
                Some(Verdict::Accept | Verdict::OfMap) => {
                    return Ok(WalkOutcome::Accepted);
                }
                Some(Verdict::Return) => (WalkOutcome::Undecided, false),
                Some(Verdict::Goto(name)) => (walk_other(ruleset, name)?, false),
                Some(Verdict::Jump(name)) => (walk_other(ruleset, name)?, true),
            };
            match outcome {
                WalkOutcome::Accepted => return Ok(WalkOutcome::Accepted),
                WalkOutcome::Undecided if comes_back => {}
                WalkOutcome::Undecided if is_certain => break,
                WalkOutcome::Undecided => may_return = true,
                WalkOutcome::Dropped { by, .. } if is_certain && !may_return => {
                    return Ok(WalkOutcome::Dropped { by, position });
                }
                WalkOutcome::Dropped { .. } if is_certain => break,
                WalkOutcome::Dropped { .. } => {}
            }
        }
        Ok(WalkOutcome::Undecided)
    }

    fn matches(&self, rule: &ExistingRule) -> Match {
        let has_port = rule.conditions.iter().any(|condition| match condition {
            Condition::Value { property, .. } | Condition::InSet(property) => {
                *property == Property::Port
            }
            Condition::Connection | Condition::Other => false,
        });
        let matches = |condition: &Condition| match condition {
            Condition::Value { property, is_equal, value } => Match::certain(
                self.value(*property)
                    .is_some_and(|actual| actual.starts_with(value) == *is_equal),
            ),
            // Without a port it is mostly the set of ICMP and ICMPv6.
            Condition::InSet(Property::Protocol) if !has_port => Match::No,
            // It has to pass whatever its port is.
            Condition::InSet(Property::Port) if self.port.is_none() => Match::No,
            Condition::Connection => {
                Match::certain(self.is_answer && rule.verdict != Some(Verdict::Drop))
            }
            Condition::InSet(_) | Condition::Other => Match::Perhaps,
        };
        rule.conditions.iter().map(matches).min().unwrap_or(Match::Yes)
    }

    fn value(&self, property: Property) -> Option<Vec<u8>> {
        let padded = |link: &str| [link.as_bytes(), &[0; libc::IFNAMSIZ]].concat();
        match property {
            Property::InLink => Some(padded(self.from)),
            Property::OutLink => Some(padded(self.to.unwrap_or_default())),
            Property::Protocol => Some(vec![self.protocol.number()]),
            Property::Port => self.port.map(|port| port.to_be_bytes().into()),
        }
    }
}
