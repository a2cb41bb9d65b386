//! The rules of a profile for each system call of one architecture, in the order in which
//! a filter tries them.
//!
//! libseccomp does not try the rules in the order of the profile. This module keeps to its
//! rules, since profiles are written for it:
//! - A rule with the default action is no rule.
//! - The first rule without conditions wins over all rules of its system call.
//! - The others are sorted: conditions on a later argument first, then equalities before
//!   upper limits and lower limits, then the larger value (for an upper limit, the
//!   smaller). The first one whose conditions all hold wins.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use super::arch::{Arch, Width, X32_BIT};
use super::multiplexed::multiplexed;
use super::profile::{Action, Comparison, Condition, Profile, Rule};
use super::syscalls;

/// The first number of the calls that only 32-bit ARM has (`__ARM_NR_BASE`), far above all
/// others. An x32 number counts from its mark.
const ARM_PRIVATE: u32 = 0x000f_0000;

/// A rule that can decide about one system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The action.
    pub action: Action,
    /// The conditions, at most one for each argument, in the order of the arguments.
    pub conditions: Vec<Condition>,
    /// The index of the rule in the profile.
    pub rule: usize,
}

/// The rules for the system calls of one architecture.
#[derive(Clone, Debug, Default)]
pub struct Matches {
    /// The rules for each number, in the order in which they are tried.
    pub by_number: BTreeMap<u32, Vec<Match>>,
    /// The highest number that the profile names, with whatever action, without the
    /// private numbers of ARM.
    pub newest: Option<u32>,
}

impl Matches {
    /// Returns the rules of a profile for an architecture. A name that the architecture
    /// does not have is ignored, as runc does.
    pub fn new(profile: &Profile, arch: Arch) -> Matches {
        let mut matches = Matches::default();
        for (index, rule) in profile.rules.iter().enumerate() {
            for name in &rule.names {
                matches.add(profile, arch, name, rule, index);
            }
        }
        for of_call in matches.by_number.values_mut() {
            sort(of_call, arch.width());
        }
        matches
    }

    fn add(
        &mut self,
        profile: &Profile,
        arch: Arch,
        name: &str,
        rule: &Rule,
        index: usize,
    ) {
        let number = syscalls::number(arch, name);
        self.newest = self.newest.max(number.filter(|it| it & !X32_BIT < ARM_PRIVATE));
        if rule.action == profile.default_action {
            return;
        }
        for conditions in alternatives(&rule.conditions, arch.width()) {
            let it = Match { action: rule.action, conditions, rule: index };
            let direct = number.map(|number| (number, it.clone()));
            let shared = multiplexed(arch, name).and_then(|(call, operation)| {
                Some((syscalls::number(arch, call)?, with_operation(it, operation)))
            });
            for (number, it) in direct.into_iter().chain(shared) {
                self.by_number.entry(number).or_default().push(it);
            }
        }
    }
}

/// Returns the lists of conditions of which one must hold. If a rule has two conditions on
/// one argument, each of its conditions is enough, as in runc; otherwise all must hold.
fn alternatives(conditions: &[Condition], width: Width) -> Vec<Vec<Condition>> {
    let mut sorted = conditions.to_vec();
    sorted.sort_by_key(|it| it.argument);
    let is_double = |pair: &[Condition]| pair[0].argument == pair[1].argument;
    match sorted.windows(2).any(is_double) {
        true => conditions.iter().map(|it| vec![*it]).collect(),
        false => {
            sorted.retain(|it| !always_holds(it, width));
            vec![sorted]
        }
    }
}

/// Returns whether a condition looks at no bit.
fn always_holds(condition: &Condition, width: Width) -> bool {
    matches!(condition.comparison, Comparison::MaskedEqual { mask, .. }
        if mask & width.bits() == 0)
}

/// Replaces the condition on the first argument.
fn with_operation(mut it: Match, operation: u64) -> Match {
    it.conditions.retain(|it| it.argument != 0);
    let comparison = Comparison::Equal(operation);
    it.conditions.insert(0, Condition { argument: 0, comparison });
    it
}

fn sort(of_call: &mut Vec<Match>, width: Width) {
    match of_call.iter().position(|it| it.conditions.is_empty()) {
        Some(first) => *of_call = vec![of_call.swap_remove(first)],
        None => of_call.sort_by(|a, b| order(&a.conditions, &b.conditions, width)),
    }
}

/// Compares two lists of conditions by the first in which they differ.
fn order(a: &[Condition], b: &[Condition], width: Width) -> Ordering {
    let keys =
        |list: &[Condition]| list.iter().map(|it| key(it, width)).collect::<Vec<_>>();
    let (a, b) = (keys(a), keys(b));
    let differ = a.iter().zip(&b).find(|(a, b)| a != b);
    // A longer list that begins with the same conditions is never reached.
    differ.map_or(a.len().cmp(&b.len()), |(a, b)| a.cmp(b))
}

/// Returns a key by which the condition that is tried first is the smallest.
fn key(condition: &Condition, width: Width) -> (Reverse<u8>, u8, Reverse<u64>) {
    let (group, value) = match condition.comparison {
        Comparison::Equal(value) | Comparison::NotEqual(value) => (0, value),
        Comparison::MaskedEqual { mask, value } => (0, mask & value),
        Comparison::Less(value) | Comparison::LessOrEqual(value) => (1, !value),
        Comparison::Greater(value) | Comparison::GreaterOrEqual(value) => (2, value),
    };
    (Reverse(condition.argument), group, Reverse(value & width.bits()))
}
