//! Random profiles decide as with libseccomp, where that keeps to its own rules.
//!
//! libseccomp 2.5.4 does not in all profiles: with a condition `argument 0 >= X` and one on
//! another argument in one rule, it sometimes lets a call pass whose argument 0 is smaller,
//! and some pairs of `<` rules, and some comparisons on 32-bit architectures, are wrong. So the profiles that it gets
//! right are compared with it without exception, and all others with a plain reading of
//! their rules.

use std::collections::{BTreeMap, BTreeSet};

use security::seccomp::{
    Action, Arch, Comparison, Condition, Flags, Profile, Rule, SyscallData, compile,
    syscall_name,
};

use super::calls::{self, boundaries};
use super::libseccomp::{self, Input};

/// A generator of numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        // xorshift64*, by Vigna.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// The profiles of each kind.
const PROFILES: usize = 12;

const NAMES: [&str; 12] = [
    "read", "write", "ioctl", "clone", "socket", "shmat", "getppid", "openat2",
    "accept4", "prctl", "mmap", "kill",
];
const VALUES: [u64; 8] =
    [0, 1, 5, 0x5412, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0005, 0xffff_ffff_0000_0000];

/// The conditions and the actions of a random profile.
struct Kind<'a> {
    rules: usize,
    operators: &'a [u8],
    arguments: usize,
    actions: &'a [Action],
}

fn profile(random: &mut Random, archs: &[Arch], kind: &Kind) -> Profile {
    // With these defaults, there is no other action for newer calls, which runc adds.
    let default_action = random.one_of(&[Action::Errno(38), Action::Log]);
    let mut rules = Vec::new();
    for _ in 0..1 + random.below(kind.rules) {
        let names = (0..1 + random.below(3)).map(|_| random.one_of(&NAMES).into());
        let names = names.collect();
        let conditions = random.below(kind.arguments + 1);
        let mut conditions: Vec<_> =
            (0..conditions).map(|_| condition(random, kind)).collect();
        // An argument twice means something else: see runc's rule in the unit tests.
        conditions.sort_by_key(|it| it.argument);
        conditions.dedup_by_key(|it| it.argument);
        let action = random.one_of(kind.actions);
        rules.push(Rule { names, action, conditions });
    }
    let architectures = archs.into();
    Profile {
        default_action,
        architectures,
        flags: Flags::default(),
        listener: None,
        rules,
    }
}

fn condition(random: &mut Random, kind: &Kind) -> Condition {
    let value = random.one_of(&VALUES);
    let comparison = match random.one_of(kind.operators) {
        0 => Comparison::NotEqual(value),
        1 => Comparison::Less(value),
        2 => Comparison::LessOrEqual(value),
        3 => Comparison::Equal(value),
        4 => Comparison::GreaterOrEqual(value),
        5 => Comparison::Greater(value),
        _ => Comparison::MaskedEqual { mask: random.one_of(&VALUES), value },
    };
    Condition { argument: random.below(kind.arguments) as u8, comparison }
}

fn values(profile: &Profile) -> BTreeMap<usize, Vec<u64>> {
    let mut all = BTreeSet::new();
    for rule in &profile.rules {
        for it in &rule.conditions {
            match it.comparison {
                Comparison::NotEqual(value)
                | Comparison::Less(value)
                | Comparison::LessOrEqual(value)
                | Comparison::Equal(value)
                | Comparison::GreaterOrEqual(value)
                | Comparison::Greater(value) => all.insert(value),
                Comparison::MaskedEqual { mask, value } => {
                    all.insert(mask);
                    all.insert(value & mask)
                }
            };
        }
    }
    let values = boundaries(all);
    BTreeMap::from([(0, values.clone()), (1, values)])
}

/// Returns the action of a call by a plain reading of a profile whose rules all have one
/// action.
fn plain(profile: &Profile, call: &SyscallData) -> Option<Action> {
    let of_arch = |it: &&Arch| it.audit() == call.arch;
    let marks_x32 = |it: &&Arch| (**it == Arch::X32) == (call.number >> 30 == 1);
    let mut archs = profile.architectures.iter();
    let arch = *archs.find(|it| of_arch(it) && marks_x32(it))?;
    let name = syscall_name(arch, call.number)?;
    if ["socketcall", "ipc"].contains(&name) {
        // The rules of other calls are for them, too.
        return None;
    }
    let matching =
        profile.rules.iter().filter(|it| it.names.iter().any(|it| it == name));
    let holds = |rule: &&Rule| {
        rule.conditions.iter().all(|it| it.holds(&call.arguments, arch.width()))
    };
    let by_rule = matching.clone().find(holds).map(|it| it.action);
    Some(by_rule.unwrap_or(profile.default_action))
}

const MACHINES: [&[Arch]; 3] = [
    &[Arch::X86_64],
    &[Arch::X86_64, Arch::X86, Arch::X32],
    &[Arch::Aarch64, Arch::Arm],
];

/// Compares profiles of a kind without exception.
fn assert_all_same(seed: u64, machines: &[&[Arch]], kind: &Kind) {
    let mut random = Random(seed);
    let mut compared = 0;
    for archs in machines.iter().cycle().take(PROFILES) {
        let profile = profile(&mut random, archs, kind);
        let Some(theirs) = Input::of(&profile).filter() else { continue };
        let ours = compile(&profile).unwrap();
        let same = calls::compare(ours.instructions(), &theirs, &values(&profile));
        assert!(same.is_ok(), "{:#?}\n{profile:#?}", same.err());
        compared += 1;
    }
    assert!(
        compared * 2 > PROFILES,
        "libseccomp accepted only {compared} of {PROFILES} profiles"
    );
}

#[test]
fn every_operator_decides_as_with_libseccomp() {
    if !libseccomp::is_here() {
        return;
    }
    let machines = [&[Arch::X86_64][..], &[Arch::Aarch64]];
    for operator in 0..7 {
        let kind = Kind {
            rules: 1,
            operators: &[operator],
            arguments: 1,
            actions: &[Action::Allow],
        };
        assert_all_same(u64::from(operator) + 1, &machines, &kind);
    }
}

#[test]
fn several_actions_and_conditions_decide_as_with_libseccomp() {
    if !libseccomp::is_here() {
        return;
    }
    let actions = [
        Action::Allow,
        Action::Errno(1),
        Action::Errno(22),
        Action::Trap,
        Action::Trace(7),
    ];
    let kind = Kind { rules: 12, operators: &[3], arguments: 2, actions: &actions };
    assert_all_same(8, &MACHINES, &kind);
    let kind = Kind {
        rules: 12,
        operators: &[3, 6],
        arguments: 2,
        actions: &[Action::Errno(1)],
    };
    assert_all_same(9, &MACHINES, &kind);
}

#[test]
fn every_profile_with_one_action_decides_as_its_rules_say() {
    let mut random = Random(10);
    let all = [0, 1, 2, 3, 4, 5, 6];
    let kind =
        Kind { rules: 12, operators: &all, arguments: 2, actions: &[Action::Errno(1)] };
    for archs in MACHINES.iter().cycle().take(PROFILES) {
        let profile = profile(&mut random, archs, &kind);
        let ours = compile(&profile).unwrap();
        let wrong =
            calls::find(ours.instructions(), &values(&profile), |call, action| {
                plain(&profile, call).is_some_and(|it| it != action)
            });
        assert!(wrong.is_none(), "{wrong:#x?}\n{profile:#?}");
    }
}
