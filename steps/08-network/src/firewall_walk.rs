//! Walks a packet through the chains of other programs, to find the rule that drops it.

use crate::nft::{ChainId, Condition, ExistingRule, Property, Ruleset, Verdict};
use crate::port::Protocol;

/// A packet of a container's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WalkedPacket<'a> {
    /// The link by which it comes in.
    pub(crate) from: &'a str,
    /// The link by which it goes out. None: it is for the host.
    pub(crate) to: Option<&'a str>,
    pub(crate) protocol: Protocol,
    /// The port that it is for. None: any.
    pub(crate) port: Option<u16>,
    /// Whether it belongs to a connection that exists.
    pub(crate) is_answer: bool,
}

/// The kernel allows 16 jumps: NFT_JUMP_STACK_SIZE.
const MAX_JUMPS: usize = 16;

/// The end of a packet's way through a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Accepted,
    /// By the last rule of this chain that it met.
    Dropped(ChainId),
    /// No rule has decided.
    Undecided,
}

impl WalkedPacket<'_> {
    /// Walks through a chain. A rule whose condition is not known here does not apply:
    /// only what is dropped for certain is dropped.
    pub(crate) fn walk(&self, ruleset: &Ruleset, chain: &ChainId) -> End {
        self.walk_at(ruleset, chain, 0)
    }

    fn walk_at(&self, ruleset: &Ruleset, chain: &ChainId, depth: usize) -> End {
        if depth > MAX_JUMPS {
            return End::Undecided;
        }
        let next = |name: &String| {
            let to = ChainId { chain: name.clone(), ..chain.clone() };
            self.walk_at(ruleset, &to, depth + 1)
        };
        for rule in ruleset.rules.iter().filter(|rule| rule.chain == *chain) {
            if !self.meets(rule) {
                continue;
            }
            match &rule.verdict {
                None => {}
                Some(Verdict::Drop) => return End::Dropped(chain.clone()),
                Some(Verdict::Accept) => return End::Accepted,
                Some(Verdict::Return) => return End::Undecided,
                Some(Verdict::Goto(name)) => return next(name),
                Some(Verdict::Jump(name)) => match next(name) {
                    End::Undecided => {}
                    decided => return decided,
                },
            }
        }
        End::Undecided
    }

    fn meets(&self, rule: &ExistingRule) -> bool {
        rule.conditions.iter().all(|condition| match condition {
            Condition::Value { property, is_equal, value } => self
                .value(*property)
                .is_some_and(|own| own.starts_with(value) == *is_equal),
            Condition::Connection => {
                self.is_answer && rule.verdict != Some(Verdict::Drop)
            }
            Condition::Other => false,
        })
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
