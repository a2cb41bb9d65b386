//! Finds the chains of other programs that would drop packets of containers.

use anyhow::Result;

use crate::firewall_walk::{WalkOutcome, WalkedPacket};
use crate::nft::{self, Chain, ChainId, ExistingRule, Ruleset, Verdict};
use crate::rules;

/// A chain that would drop packets of containers.
#[derive(Clone, Debug)]
pub(crate) struct Obstacle {
    pub(crate) chain: Chain,
    /// The program that the chain belongs to.
    owner: Owner,
    /// The chain to which our rules are added: the chain itself, or the one that Docker
    /// leaves to its users.
    pub(crate) target: ChainId,
    /// The chain that drops the packets: the chain itself, or one that it jumps to.
    dropping: ChainId,
    /// The place in the chain of the first rule that drops packets, or jumps to the
    /// chain that drops them. None: its policy drops them.
    pub(crate) position: Option<usize>,
}

/// The kernel's packet filter that has a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Nftables,
    /// The old iptables: iptables-legacy(8).
    LegacyIptables,
}

pub(crate) const INPUT: u32 = libc::NF_INET_LOCAL_IN as u32;
const FORWARD: u32 = libc::NF_INET_FORWARD as u32;

/// Docker jumps to this chain before its own rules, and adds none to it.
const DOCKER_USER: &str = "DOCKER-USER";

/// Finds the chains of other programs that would drop packets of the containers on a
/// bridge.
///
/// # Errors
/// When the rules of a chain cannot be read.
pub(crate) fn obstacles(
    ruleset: &mut Ruleset,
    bridge: &str,
    uplinks: &[String],
) -> Result<Vec<Obstacle>> {
    obstacles_of(Owner::Nftables, ruleset, bridge, uplinks)
}

/// Finds the chains of the old iptables as [`obstacles`] does.
///
/// # Errors
/// When the tables cannot be read.
pub(crate) fn legacy_obstacles(
    bridge: &str,
    uplinks: &[String],
) -> Result<Vec<Obstacle>> {
    match nft::read_legacy()? {
        None => Ok(Vec::new()),
        Some(mut ruleset) => {
            obstacles_of(Owner::LegacyIptables, &mut ruleset, bridge, uplinks)
        }
    }
}

fn obstacles_of(
    owner: Owner,
    ruleset: &mut Ruleset,
    bridge: &str,
    uplinks: &[String],
) -> Result<Vec<Obstacle>> {
    let mut found = Vec::new();
    for chain in ruleset.chains.clone() {
        if rules::is_ours(&chain.id) {
            continue;
        }
        if let Some((dropping, position)) = find_drop(&chain, ruleset, bridge, uplinks)?
        {
            let target = find_target(&chain, position, ruleset)?;
            found.push(Obstacle { chain, owner, target, dropping, position });
        }
    }
    Ok(found)
}

/// The chain that drops a packet, and the place of the rule in the base chain that does
/// it or has led to it. None: the policy does it.
type PacketDrop = (ChainId, Option<usize>);

/// Finds the first rule of a base chain that leads to the drop of a packet. A container
/// needs to open connections through at least one of the uplinks, and to ask the DNS
/// responder.
fn find_drop(
    chain: &Chain,
    ruleset: &mut Ruleset,
    bridge: &str,
    uplinks: &[String],
) -> Result<Option<PacketDrop>> {
    let mut find_drop = |packet: WalkedPacket| {
        Ok(match packet.walk(ruleset, &chain.id)? {
            WalkOutcome::Dropped { by, position } => Some((by, Some(position))),
            WalkOutcome::Undecided if chain.has_drop_policy => {
                Some((chain.id.clone(), None))
            }
            WalkOutcome::Undecided | WalkOutcome::Accepted => None,
        })
    };
    match chain.hook {
        Some(INPUT) => find_drop(WalkedPacket::dns_question(bridge)),
        Some(FORWARD) => {
            let mut drops = Vec::new();
            // A host without uplinks: to an unknown link, or to other containers.
            let unknown = [String::new(), bridge.into()];
            for uplink in if uplinks.is_empty() { &unknown } else { uplinks } {
                let first = find_drop(WalkedPacket::first_to(uplink, bridge))?;
                let answer = find_drop(WalkedPacket::answer_from(uplink, bridge))?;
                if first.is_none() && answer.is_none() {
                    return Ok(None);
                }
                drops.extend([first, answer].into_iter().flatten());
            }
            let place = |drop: &PacketDrop| drop.1.unwrap_or(usize::MAX);
            Ok(drops.into_iter().min_by_key(place))
        }
        _ => Ok(None),
    }
}

/// Finds the chain for our rules: DOCKER-USER, if packets enter it before they are
/// dropped.
fn find_target(
    chain: &Chain,
    position: Option<usize>,
    ruleset: &mut Ruleset,
) -> Result<ChainId> {
    let rules = ruleset.rules(&chain.id)?;
    let before = position.map_or(&rules[..], |position| &rules[..=position]);
    let is_jump = |rule: &ExistingRule| match &rule.verdict {
        Some(Verdict::Jump(to) | Verdict::Goto(to)) => to == DOCKER_USER,
        _ => false,
    };
    let target = match chain.hook == Some(FORWARD) && before.iter().any(is_jump) {
        true => DOCKER_USER,
        false => &chain.id.chain,
    };
    Ok(ChainId { chain: target.into(), ..chain.id.clone() })
}

impl Obstacle {
    /// Describes the chain: `table ip filter, chain FORWARD (policy drop)`.
    pub(crate) fn describe(&self) -> String {
        let ChainId { family, table, chain } = &self.chain.id;
        let how = match self.chain.has_drop_policy {
            _ if self.dropping != self.chain.id => {
                format!("it jumps to {}, which drops all", self.dropping.chain)
            }
            true => "policy drop".into(),
            false => "its last rule drops all".into(),
        };
        let owner = match self.owner {
            Owner::Nftables => "",
            Owner::LegacyIptables => " of the old iptables",
        };
        format!("table {} {table}{owner}, chain {chain} ({how})", family.name())
    }
}
