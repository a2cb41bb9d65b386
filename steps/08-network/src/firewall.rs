//! Other tables than ours. A packet goes on only if every table lets it: an accept of
//! ours cannot override a drop of Docker's, ufw's or firewalld's. So these are looked
//! for before a container starts.

use std::fs;

use anyhow::Result;
use kit::{Failure, program};

use crate::host_changes::{Door, Opened};
use crate::network::{Isolation, Network};
use crate::nft::{Batch, Chain, ExistingRule, Family, Rule, Ruleset, Verdict, ct};
use crate::port::Protocol;
use crate::rules::TABLE;
use crate::store::NetworkStore;

/// What to do about a table of the host's that would drop what containers send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Firewall {
    /// Refuse to start, and say which
    #[default]
    Check,
    /// Add rules to it that let containers through; they go with the last container
    Adjust,
}

/// A chain that would stop packets of containers.
#[derive(Clone, Debug)]
pub(crate) struct Obstacle {
    chain: Chain,
    /// Where a rule would open it: itself, or the chain that Docker leaves to others.
    door: Door,
}

// enum nf_inet_hooks
const INPUT: u32 = 1;
const FORWARD: u32 = 2;

/// Docker sends all that is forwarded through this one first, and puts no rules of its
/// own in it.
const DOCKER_USER: &str = "DOCKER-USER";

/// All chains that would stop packets of containers, but ours.
pub(crate) fn obstacles(ruleset: &Ruleset) -> Vec<Obstacle> {
    let stops = |chain: &&Chain| {
        let door = Door {
            family: chain.family,
            table: chain.table.clone(),
            chain: chain.name.clone(),
        };
        let mut own = ruleset.rules.iter().filter(|rule| door.has(rule));
        let at_our_hooks = [Some(INPUT), Some(FORWARD)].contains(&chain.hook);
        let is_ours = chain.family == Family::Inet && chain.table == TABLE;
        let stops = |rule: &ExistingRule| rule.verdict == Some(Verdict::Drop);
        at_our_hooks && !is_ours && (chain.drops || own.any(stops))
    };
    ruleset.chains.iter().filter(stops).map(|chain| obstacle(chain, ruleset)).collect()
}

fn obstacle(chain: &Chain, ruleset: &Ruleset) -> Obstacle {
    let is_docker_user = |other: &&Chain| {
        (&other.family, &other.table) == (&chain.family, &chain.table)
            && other.name == DOCKER_USER
    };
    let user = ruleset
        .chains
        .iter()
        .find(is_docker_user)
        .filter(|_| chain.hook == Some(FORWARD));
    let Chain { family, table, name, .. } = user.unwrap_or(chain).clone();
    Obstacle { chain: chain.clone(), door: Door { family, table, chain: name } }
}

impl Door {
    fn has(&self, rule: &ExistingRule) -> bool {
        rule.family == self.family
            && rule.table == self.table
            && rule.chain == self.chain
    }
}

impl Obstacle {
    /// In words: `table ip filter, chain FORWARD (policy drop)`.
    pub(crate) fn shown(&self) -> String {
        let Chain { family, table, name, drops, .. } = &self.chain;
        let how = if *drops { "policy drop" } else { "its last rule stops all" };
        format!("table {} {table}, chain {name} ({how})", family.name())
    }

    /// What our rules in it say whose they are.
    fn tag(network: &Network) -> String {
        format!("kiste: {}", network.name)
    }

    fn is_open(&self, network: &Network, ruleset: &Ruleset) -> bool {
        let tag = Self::tag(network);
        ruleset.rules.iter().any(|rule| self.door.has(rule) && rule.comment == tag)
    }

    /// The rules that let through what our own table is asked about as well: out to the
    /// world, and between containers, but not to what is behind other links of the
    /// host's.
    fn rules(&self, network: &Network, uplinks: &[String]) -> Vec<Rule> {
        let (tag, bridge) = (Self::tag(network), &network.bridge);
        if self.chain.hook == Some(INPUT) {
            let names = |protocol| {
                Rule::of(&tag).comes_by(bridge).sent_to_port(protocol, 53).accept()
            };
            return vec![names(Protocol::Udp), names(Protocol::Tcp)];
        }
        let out = uplinks.iter().chain([bridge]);
        let mut rules: Vec<_> = out
            .map(|link| Rule::of(&tag).comes_by(bridge).leaves_by(link).accept())
            .collect();
        rules.extend([
            Rule::of(&tag).leaves_by(bridge).state(ct::ESTABLISHED_OR_RELATED).accept(),
            Rule::of(&tag).leaves_by(bridge).status(ct::DNAT).accept(),
        ]);
        rules
    }
}

/// Before a container starts: refuses, or lets it through.
///
/// # Errors
/// When a chain would drop its packets and is to be left as it is, with its name and
/// the mend.
pub(crate) fn admit(
    store: &mut NetworkStore,
    network: &Network,
    uplinks: &[String],
    what_to_do: Firewall,
) -> Result<()> {
    let ruleset = Ruleset::read("would others stop what it sends?")?;
    let concerns = |obstacle: &Obstacle| {
        network.isolation != Isolation::Internal || obstacle.chain.hook == Some(INPUT)
    };
    let closed: Vec<_> = obstacles(&ruleset)
        .into_iter()
        .filter(|obstacle| concerns(obstacle) && !obstacle.is_open(network, &ruleset))
        .collect();
    warn_of_legacy();
    match what_to_do {
        _ if closed.is_empty() => Ok(()),
        Firewall::Adjust => closed.iter().try_for_each(|obstacle| {
            open(
                store,
                &obstacle.door,
                &Obstacle::tag(network),
                &obstacle.rules(network, uplinks),
                &ruleset,
            )
        }),
        Firewall::Check => {
            let names: Vec<_> = closed.iter().map(Obstacle::shown).collect();
            let what = format!(
                "the host's firewall drops what containers send: {}",
                names.join("; ")
            );
            let mend = "--firewall=adjust adds rules that let them through, and removes them with the last one; \
                        or --network none";
            Err(Failure::new(what).hint(mend).into())
        }
    }
}

fn open(
    store: &mut NetworkStore,
    door: &Door,
    tag: &str,
    rules: &[Rule],
    ruleset: &Ruleset,
) -> Result<()> {
    let opened = Opened { door: door.clone(), tag: tag.into() };
    if !store.host.opened.contains(&opened) {
        store.host.opened.push(opened);
        store.note_host()?;
    }
    // Last of all, so that what the host's own rules stop stays stopped.
    let last = ruleset
        .rules
        .iter()
        .rfind(|rule| door.has(rule))
        .filter(|rule| rule.verdict.is_some());
    let mut batch = Batch::new();
    for rule in rules {
        match last {
            Some(last) => {
                batch.insert(door.family, &door.table, &door.chain, rule, last.handle)
            }
            None => batch.append(door.family, &door.table, &door.chain, rule),
        }
    }
    let operands = format!(
        "{} rules in {} {} {}",
        rules.len(),
        door.family.name(),
        door.table,
        door.chain
    );
    batch.commit("let containers' packets through the host's firewall", operands)
}

/// Removes our rules from the chains of others, but for networks that have containers.
///
/// # Errors
/// What the kernel says. A chain that is gone has taken them along.
pub(crate) fn remove_unused_rules(store: &mut NetworkStore) -> Result<()> {
    if store.host.opened.is_empty() {
        return Ok(());
    }
    let in_use: Vec<_> =
        store.networks.values().filter(|noted| !noted.leases.is_empty()).collect();
    let tags: Vec<_> =
        in_use.iter().map(|noted| Obstacle::tag(&noted.network)).collect();
    let (stay, over): (Vec<_>, Vec<_>) = store
        .host
        .opened
        .iter()
        .cloned()
        .partition(|opened| tags.contains(&opened.tag));
    let ruleset = Ruleset::read("which rules in others' chains are ours?")?;
    let is_over = |rule: &&ExistingRule| {
        over.iter().any(|it| it.door.has(rule) && rule.comment == it.tag)
    };
    let rules: Vec<_> = ruleset.rules.iter().filter(is_over).collect();
    if !rules.is_empty() {
        let mut batch = Batch::new();
        for rule in &rules {
            batch.delete_rule(rule.family, &rule.table, &rule.chain, rule.handle);
        }
        batch.commit(
            "the host's firewall is as it was",
            format_args!("{} rules removed", rules.len()),
        )?;
    }
    store.host.opened = stay;
    store.note_host()
}

/// Tables of the old kind cannot be asked for what they do.
pub(crate) fn legacy() -> Vec<String> {
    let names =
        ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"].map(|path| {
            fs::read_to_string(path)
                .unwrap_or_default()
                .lines()
                .map(String::from)
                .collect::<Vec<_>>()
        });
    names.concat()
}

fn warn_of_legacy() {
    if legacy().iter().any(|name| name == "filter") {
        program::say(
            "note: the host has rules of the old iptables, which cannot be looked into: if the container \
             reaches nobody, see `iptables-legacy -L FORWARD`",
        );
    }
}
