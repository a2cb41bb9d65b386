//! The firewalls of other programs. A packet goes on only if every table accepts it: an
//! accept in our table does not override a drop in that of Docker, ufw or firewalld. So
//! these tables are examined before a container starts.

use std::fs;

use anyhow::Result;
use kit::Failure;

use crate::firewall_walk::{WalkOutcome, WalkedPacket};
use crate::host_changes::AddedRules;
use crate::network::{Isolation, Network};
use crate::nft::{Batch, Chain, ChainId, ExistingRule, Rule, Ruleset};
use crate::port::Protocol;
use crate::rules;
use crate::store::NetworkStore;

/// The reaction to a firewall of another program that would drop a container's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Firewall {
    /// Refuse to start, and name the chain.
    #[default]
    Check,
    /// Add rules to the chain that accept the packets. They are removed with the last
    /// container.
    Adjust,
}

/// A chain that would drop packets of containers.
#[derive(Clone, Debug)]
pub(crate) struct Obstacle {
    chain: Chain,
    /// The chain to which our rules are added: the chain itself, or the one that Docker
    /// leaves to its users.
    target: ChainId,
    /// The chain that drops the packets: the chain itself, or one that it jumps to.
    dropping: ChainId,
}

const INPUT: u32 = libc::NF_INET_LOCAL_IN as u32;
const FORWARD: u32 = libc::NF_INET_FORWARD as u32;

/// Docker jumps to this chain before its own rules, and adds none to it.
const DOCKER_USER: &str = "DOCKER-USER";

/// Finds the chains of other programs that would drop packets of the containers on a
/// bridge.
pub(crate) fn obstacles(
    ruleset: &Ruleset,
    bridge: &str,
    uplinks: &[String],
) -> Vec<Obstacle> {
    let chains = ruleset.chains.iter().filter(|chain| !rules::is_ours(&chain.id));
    let found = chains.filter_map(|chain| {
        let dropping = dropped_by(chain, ruleset, bridge, uplinks)?;
        Some(Obstacle { dropping, ..new_obstacle(chain, ruleset) })
    });
    found.collect()
}

/// Finds the chain that drops a packet on its way through a base chain. A container
/// needs to open connections through at least one of the uplinks, and to ask the DNS
/// responder.
fn dropped_by(
    chain: &Chain,
    ruleset: &Ruleset,
    bridge: &str,
    uplinks: &[String],
) -> Option<ChainId> {
    let dropping_chain = |packet: WalkedPacket| match packet.walk(ruleset, &chain.id) {
        WalkOutcome::Dropped(by) => Some(by),
        WalkOutcome::Undecided if chain.has_drop_policy => Some(chain.id.clone()),
        WalkOutcome::Undecided | WalkOutcome::Accepted => None,
    };
    let (protocol, port) = (Protocol::Udp, Some(53));
    let question =
        WalkedPacket { from: bridge, to: None, protocol, port, is_answer: false };
    match chain.hook? {
        INPUT => dropping_chain(question),
        FORWARD => {
            let dropping_chain_through = |uplink: &str| {
                let (protocol, port) = (Protocol::Tcp, None);
                let first =
                    WalkedPacket { to: Some(uplink), protocol, port, ..question };
                let answer = WalkedPacket {
                    from: uplink,
                    to: Some(bridge),
                    is_answer: true,
                    ..first
                };
                dropping_chain(first).or_else(|| dropping_chain(answer))
            };
            match uplinks {
                [] => dropping_chain_through(""),
                [first, others @ ..] => others.iter().fold(
                    dropping_chain_through(first),
                    |dropping, uplink| {
                        dropping.and_then(|_| dropping_chain_through(uplink))
                    },
                ),
            }
        }
        _ => None,
    }
}

fn new_obstacle(chain: &Chain, ruleset: &Ruleset) -> Obstacle {
    let docker_user = ChainId { chain: DOCKER_USER.into(), ..chain.id.clone() };
    let has_docker_user = ruleset.chains.iter().any(|other| other.id == docker_user);
    let target = match chain.hook {
        Some(FORWARD) if has_docker_user => docker_user,
        _ => chain.id.clone(),
    };
    Obstacle { chain: chain.clone(), target, dropping: chain.id.clone() }
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
        format!("table {} {table}, chain {chain} ({how})", family.name())
    }

    /// The comment of our rules in the chain.
    fn comment(network: &Network) -> String {
        format!("kiste: {}", network.name)
    }

    fn has_our_rules(&self, network: &Network, ruleset: &Ruleset) -> bool {
        let comment = Self::comment(network);
        let mut rules = ruleset.rules.iter();
        rules.any(|rule| rule.chain == self.target && rule.comment == comment)
    }

    /// Makes rules that accept packets to other hosts and between containers, but not
    /// to other links of the host. Our own table still filters the accepted packets.
    fn rules(&self, network: &Network, uplinks: &[String]) -> Vec<Rule> {
        let (comment, bridge) = (Self::comment(network), &network.bridge);
        let from = || Rule::with_comment(&comment).iifname(bridge);
        let to = || Rule::with_comment(&comment).oifname(bridge);
        if self.chain.hook == Some(INPUT) {
            // To the gateway only: the host may have another DNS server.
            let gateways = network.gateways().into_iter();
            let family = self.target.family;
            let gateways = gateways.filter(|ip| family.sees(*ip));
            let to_gateway = |ip| {
                [Protocol::Udp, Protocol::Tcp].map(|protocol| {
                    from().daddr_in(family, ip).dport(protocol, 53).accept()
                })
            };
            return gateways.flat_map(to_gateway).collect();
        }
        let out = uplinks.iter().chain([bridge]);
        let mut rules: Vec<_> = out.map(|link| from().oifname(link).accept()).collect();
        rules.push(to().ct_established().accept());
        rules.push(to().ct_dnat().accept());
        rules
    }
}

/// Refuses a container whose packets a firewall would drop, or adds rules that accept
/// them.
///
/// # Errors
/// When a chain would drop its packets, and must not be changed.
pub(crate) fn check_or_adjust(
    store: &mut NetworkStore,
    network: &Network,
    uplinks: &[String],
    firewall: Firewall,
) -> Result<()> {
    let ruleset = Ruleset::read("would another firewall drop its packets?")?;
    let is_relevant = |obstacle: &Obstacle| {
        network.isolation != Isolation::Internal || obstacle.chain.hook == Some(INPUT)
    };
    let unresolved: Vec<_> = obstacles(&ruleset, &network.bridge, uplinks)
        .into_iter()
        .filter(|obstacle| {
            is_relevant(obstacle) && !obstacle.has_our_rules(network, &ruleset)
        })
        .collect();
    warn_of_legacy_rules();
    match firewall {
        _ if unresolved.is_empty() => Ok(()),
        Firewall::Adjust => unresolved.iter().try_for_each(|obstacle| {
            add_rules(store, obstacle, network, uplinks, &ruleset)
        }),
        Firewall::Check => {
            let names: Vec<_> = unresolved.iter().map(Obstacle::describe).collect();
            let what = format!(
                "the host's firewall drops what containers send: {}",
                names.join("; ")
            );
            let hint = "--firewall=adjust adds rules that accept it, and removes them \
                        with the last container; or choose --network none";
            Err(Failure::new(what).hint(hint).into())
        }
    }
}

fn add_rules(
    store: &mut NetworkStore,
    obstacle: &Obstacle,
    network: &Network,
    uplinks: &[String],
    ruleset: &Ruleset,
) -> Result<()> {
    let (target, comment) = (&obstacle.target, Obstacle::comment(network));
    let added = AddedRules { chain: target.clone(), comment };
    if !store.changes().rules.contains(&added) {
        store.update_changes(|changes| changes.rules.push(added))?;
    }
    // Our rules come just before the last one, so that the host's other rules still
    // drop their packets.
    let last = ruleset
        .rules
        .iter()
        .rfind(|rule| rule.chain == *target)
        .filter(|rule| rule.conditions.is_empty() && rule.verdict.is_some());
    let rules = obstacle.rules(network, uplinks);
    let mut batch = Batch::default();
    for rule in &rules {
        match last {
            Some(last) => batch.insert(target, rule, last.handle),
            None => batch.append(target, rule),
        }
    }
    let ChainId { family, table, chain } = target;
    let operands =
        format!("{} rules in {} {table} {chain}", rules.len(), family.name());
    batch.commit("let containers' packets through the host's firewall", operands)
}

/// Removes our rules from the chains of other programs, except those for networks that
/// have containers.
///
/// # Errors
/// The kernel's reason. It is no error if a chain is gone: our rules went with it.
pub(crate) fn remove_unused_rules(store: &mut NetworkStore) -> Result<()> {
    if store.changes().rules.is_empty() {
        return Ok(());
    }
    let in_use: Vec<_> = store
        .networks_in_use()
        .map(|record| Obstacle::comment(&record.network))
        .collect();
    let all = store.changes().rules.iter().cloned();
    let (kept, unused): (Vec<_>, Vec<_>) =
        all.partition(|added| in_use.contains(&added.comment));
    let ruleset = Ruleset::read("which rules in chains of other programs are ours?")?;
    let is_unused = |rule: &&ExistingRule| {
        let mut unused = unused.iter();
        unused.any(|it| it.chain == rule.chain && it.comment == rule.comment)
    };
    let rules: Vec<_> = ruleset.rules.iter().filter(is_unused).collect();
    if !rules.is_empty() {
        let mut batch = Batch::default();
        for rule in &rules {
            batch.delete_rule(&rule.chain, rule.handle);
        }
        batch.commit(
            "remove our rules from the host's firewall",
            format_args!("{} rules removed", rules.len()),
        )?;
    }
    store.update_changes(|changes| changes.rules = kept)
}

/// Tells whether the host has filter rules of the old iptables, which nf_tables does
/// not list.
pub(crate) fn has_legacy_rules() -> bool {
    ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"].iter().any(|path| {
        let tables = fs::read_to_string(path).unwrap_or_default();
        tables.lines().any(|table| table == "filter")
    })
}

fn warn_of_legacy_rules() {
    if has_legacy_rules() {
        kit::notice(
            "note: the host has rules of the old iptables, which cannot be examined: \
             if the container reaches nobody, see `iptables-legacy -L FORWARD`",
        );
    }
}
