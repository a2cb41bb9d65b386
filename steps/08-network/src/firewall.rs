//! The firewalls of other programs. A packet goes on only if every table accepts it: an
//! accept in our table does not override a drop in that of Docker, ufw or firewalld. So
//! these tables are examined before a container starts.

use anyhow::Result;
use kit::Failure;
use nix::errno::Errno;

use crate::added_rules::Form;
use crate::host_changes::AddedRules;
use crate::network::{Isolation, Network};
use crate::nft::{self, Batch, Chain, ExistingRule, Rule, Ruleset};
use crate::obstacle::{INPUT, Obstacle, legacy_obstacles, obstacles};
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
    let mut ruleset = Ruleset::read("would another firewall drop its packets?")?;
    let (mut unresolved, mut legacy) = (
        obstacles(&mut ruleset, &network.bridge, uplinks)?,
        legacy_obstacles(&network.bridge, uplinks)?,
    );
    let is_relevant = |obstacle: &Obstacle| {
        let Chain { id, hook, .. } = &obstacle.chain;
        (network.isolation != Isolation::Internal || *hook == Some(INPUT))
            && network.gateways().iter().any(|ip| id.family.sees(*ip))
    };
    unresolved.retain(is_relevant);
    legacy.retain(is_relevant);
    if !legacy.is_empty() {
        let hint = format!(
            "`iptables-legacy -S` shows its rules; move them to nftables, or let {} \
             through there yourself; or choose --network none",
            network.bridge
        );
        return Err(refusal(&legacy).hint(hint).into());
    }
    match firewall {
        _ if unresolved.is_empty() => Ok(()),
        Firewall::Adjust => {
            for obstacle in &unresolved {
                add_rules(store, obstacle, network, uplinks, &mut ruleset)?;
            }
            let mut ruleset = Ruleset::read("do the added rules let them through?")?;
            unresolved = obstacles(&mut ruleset, &network.bridge, uplinks)?;
            unresolved.retain(is_relevant);
            refuse_unadjusted(&unresolved, network)
        }
        Firewall::Check => {
            let hint = "--firewall=adjust adds rules that accept it, and removes them \
                        with the last container; or choose --network none";
            Err(refusal(&unresolved).hint(hint).into())
        }
    }
}

/// Refuses a container whose packets are dropped in spite of our rules: a rule that
/// comes before the chain of our rules drops them.
fn refuse_unadjusted(unresolved: &[Obstacle], network: &Network) -> Result<()> {
    if unresolved.is_empty() {
        return Ok(());
    }
    let hint = format!(
        "the rules of --firewall=adjust do not help there; let {} through yourself, or \
         choose --network none",
        network.bridge
    );
    Err(refusal(unresolved).hint(hint).into())
}

fn refusal(obstacles: &[Obstacle]) -> Failure {
    let names: Vec<_> = obstacles.iter().map(Obstacle::describe).collect();
    Failure::new(format_args!(
        "the host's firewall drops what containers send: {}",
        names.join("; ")
    ))
}

fn add_rules(
    store: &mut NetworkStore,
    obstacle: &Obstacle,
    network: &Network,
    uplinks: &[String],
    ruleset: &mut Ruleset,
) -> Result<()> {
    let (target, comment) = (&obstacle.target, Obstacle::comment(network));
    let added = AddedRules { chain: target.clone(), comment: comment.clone() };
    if !store.changes().rules.contains(&added) {
        store.update_changes(|changes| changes.rules.push(added))?;
    }
    let existing = ruleset.rules(target)?;
    let add = |form| {
        let rules = obstacle.rules(network, uplinks, form);
        insert_rules(obstacle, &comment, &existing, &rules)
    };
    match obstacle.chain.id.is_of_iptables() {
        false => add(Form::Nftables),
        true => match add(Form::Iptables) {
            // This kernel has no matches of xtables, so the table is not of iptables.
            Err(error) if kit::errno(&error) == Some(Errno::ENOENT) => {
                add(Form::Nftables)
            }
            added => added,
        },
    }
}

/// Adds our rules just before the one that drops packets of containers or jumps to it,
/// else before the last one, so that the host's other rules still drop their packets.
/// The rules of an earlier start, which do not help any more, are removed.
fn insert_rules(
    obstacle: &Obstacle,
    comment: &str,
    existing: &[ExistingRule],
    rules: &[Rule],
) -> Result<()> {
    let target = &obstacle.target;
    let is_final =
        |rule: &&ExistingRule| rule.conditions.is_empty() && rule.verdict.is_some();
    let dropping = obstacle.position.filter(|_| *target == obstacle.chain.id);
    let next = match dropping {
        Some(position) => existing.get(position),
        None => existing.last().filter(is_final),
    };
    let mut batch = Batch::default();
    let is_ours = |rule: &&ExistingRule| rule.comment == comment;
    for old in existing.iter().filter(is_ours) {
        batch.delete_rule(target, old.handle);
    }
    for rule in rules {
        match next {
            Some(next) => batch.insert(target, rule, next.handle),
            None => batch.append(target, rule),
        }
    }
    let operands = format!("{} rules in {target}", rules.len());
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
    let (mut batch, mut count) = (Batch::default(), 0);
    for AddedRules { chain, comment } in &unused {
        let ours = nft::rules_of("which rules in this chain are ours?", chain)?;
        for rule in ours.iter().filter(|rule| rule.comment == *comment) {
            batch.delete_rule(chain, rule.handle);
            count += 1;
        }
    }
    if count > 0 {
        let operands = format_args!("{count} rules removed");
        batch.commit("remove our rules from the host's firewall", operands)?;
    }
    store.update_changes(|changes| changes.rules = kept)
}
