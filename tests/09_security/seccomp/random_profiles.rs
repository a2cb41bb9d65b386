//! Random profiles decide as with libseccomp.

use std::collections::{BTreeMap, BTreeSet};

use security::seccomp::{
    Action, Arch, Comparison, Condition, Flags, Profile, Rule, compile,
};

use super::calls::{assert_same, boundaries};
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

const NAMES: [&str; 12] = [
    "read", "write", "ioctl", "clone", "socket", "shmat", "getppid", "openat2",
    "accept4", "prctl", "mmap", "kill",
];
const VALUES: [u64; 8] =
    [0, 1, 5, 0x5412, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0005, 0xffff_ffff_0000_0000];

fn profile(random: &mut Random, archs: &[Arch], actions: &[Action]) -> Profile {
    // With these defaults, there is no other action for newer calls, which runc adds.
    let default = random.one_of(&[Action::Errno(38), Action::Log]);
    let mut rules = Vec::new();
    for _ in 0..1 + random.below(12) {
        let action = random.one_of(actions);
        let names = (0..1 + random.below(3)).map(|_| random.one_of(&NAMES).into());
        let names = names.collect();
        let mut conditions: Vec<_> =
            (0..random.below(3)).map(|_| condition(random)).collect();
        // One argument twice means something else: see runc's rule in the unit tests.
        conditions.sort_by_key(|it| it.argument);
        conditions.dedup_by_key(|it| it.argument);
        rules.push(Rule { names, action, conditions });
    }
    Profile {
        default_action: default,
        architectures: archs.into(),
        flags: Flags::default(),
        listener: None,
        rules,
    }
}

fn condition(random: &mut Random) -> Condition {
    let value = random.one_of(&VALUES);
    let comparison = match random.below(7) {
        0 => Comparison::NotEqual(value),
        1 => Comparison::Less(value),
        2 => Comparison::LessOrEqual(value),
        3 => Comparison::Equal(value),
        4 => Comparison::GreaterOrEqual(value),
        5 => Comparison::Greater(value),
        _ => Comparison::MaskedEqual { mask: random.one_of(&VALUES), value },
    };
    Condition { argument: random.below(2) as u8, comparison }
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

fn compare(seed: u64, archs: &[Arch], actions: &[Action]) {
    let mut random = Random(seed);
    let mut compared = 0;
    for _ in 0..60 {
        let profile = profile(&mut random, archs, actions);
        let Some(theirs) = Input::of(&profile).filter() else { continue };
        let ours = compile(&profile).unwrap();
        let result = std::panic::catch_unwind(|| {
            assert_same(ours.instructions(), &theirs, &values(&profile))
        });
        assert!(result.is_ok(), "{profile:#?}");
        compared += 1;
    }
    assert!(compared > 20, "libseccomp accepted only {compared} of 60 profiles");
}

#[test]
fn a_profile_with_one_action_decides_as_with_libseccomp() {
    if !libseccomp::is_here() {
        return;
    }
    for (seed, archs) in [
        (1, &[Arch::X86_64][..]),
        (2, &[Arch::X86_64, Arch::X86, Arch::X32]),
        (3, &[Arch::Aarch64, Arch::Arm]),
    ] {
        compare(seed, archs, &[Action::Allow]);
    }
}

#[test]
fn a_profile_with_several_actions_decides_as_with_libseccomp() {
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
    for (seed, archs) in [(4, &[Arch::X86_64][..]), (5, &[Arch::X86_64, Arch::X86])] {
        compare(seed, archs, &actions);
    }
}
