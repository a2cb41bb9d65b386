//! Finds the chains of other programs that would drop packets of containers.

use anyhow::Result;

use crate::firewall_walk::{WalkOutcome, WalkedPacket};
use crate::nft::{self, Chain, ChainId, Ruleset};
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
        if let Some(dropping) = dropped_by(&chain, ruleset, bridge, uplinks)? {
            found.push(Obstacle { dropping, owner, ..new_obstacle(&chain, ruleset) });
        }
    }
    Ok(found)
}

/// Finds the chain that drops a packet on its way through a base chain. A container
/// needs to open connections through at least one of the uplinks, and to ask the DNS
/// responder.
fn dropped_by(
    chain: &Chain,
    ruleset: &mut Ruleset,
    bridge: &str,
    uplinks: &[String],
) -> Result<Option<ChainId>> {
    let mut dropped_by = |packet: WalkedPacket| {
        Ok(match packet.walk(ruleset, &chain.id)? {
            WalkOutcome::Dropped(by) => Some(by),
            WalkOutcome::Undecided if chain.has_drop_policy => Some(chain.id.clone()),
            WalkOutcome::Undecided | WalkOutcome::Accepted => None,
        })
    };
    match chain.hook {
        Some(INPUT) => dropped_by(WalkedPacket::dns_question(bridge)),
        Some(FORWARD) => {
            let mut by = None;
            let unknown = [String::new()];
            for uplink in if uplinks.is_empty() { &unknown } else { uplinks } {
                by = dropped_by(WalkedPacket::first_to(uplink, bridge))?;
                if by.is_none() {
                    by = dropped_by(WalkedPacket::answer_from(uplink, bridge))?;
                }
                if by.is_none() {
                    break;
                }
            }
            Ok(by)
        }
        _ => Ok(None),
    }
}

fn new_obstacle(chain: &Chain, ruleset: &Ruleset) -> Obstacle {
    let docker_user = ChainId { chain: DOCKER_USER.into(), ..chain.id.clone() };
    let has_docker_user = ruleset.chains.iter().any(|other| other.id == docker_user);
    let target = match chain.hook {
        Some(FORWARD) if has_docker_user => docker_user,
        _ => chain.id.clone(),
    };
    let (chain, dropping, owner) = (chain.clone(), chain.id.clone(), Owner::Nftables);
    Obstacle { chain, owner, target, dropping }
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
