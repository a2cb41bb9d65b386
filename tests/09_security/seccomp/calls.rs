//! The system calls with which two filters are compared.

use std::collections::{BTreeMap, BTreeSet};

use security::seccomp::{Action, Arch, Instruction, SyscallData, run};

/// Values on both sides of each value of a comparison, and the same with a bit of the
/// other half set.
pub fn boundaries(values: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let mut all = BTreeSet::from([0, u64::MAX, 1 << 63]);
    for value in values {
        for near in [value.wrapping_sub(1), value, value.wrapping_add(1)] {
            all.extend([near, near ^ (1 << 32)]);
        }
        all.insert(value | 0xffff_ffff_0000_0000);
    }
    all.into_iter().collect()
}

/// Every number that one of the filters compares with, and its neighbours, and more.
fn numbers(programs: [&[Instruction]; 2]) -> BTreeSet<u32> {
    let mut numbers: BTreeSet<u32> = (0..700).collect();
    numbers.extend((0..700).map(|it| it | 1 << 30));
    numbers.extend(
        programs
            .into_iter()
            .flatten()
            .flat_map(|it| [it.k.wrapping_sub(1), it.k, it.k.wrapping_add(1)]),
    );
    numbers.extend([u32::MAX, u32::MAX - 1, 1 << 31, 0xbfff_ffff]);
    numbers
}

/// A system call that two filters decide differently.
#[derive(Debug)]
pub struct Difference {
    pub call: SyscallData,
    pub ours: Action,
    pub theirs: Action,
}

/// Compares two filters for all numbers of all architectures, with these values of some
/// arguments. Returns the number of calls, or one that they decide differently.
pub fn compare(
    ours: &[Instruction],
    theirs: &[Instruction],
    values: &BTreeMap<usize, Vec<u64>>,
) -> Result<usize, Difference> {
    let calls = calls([ours, theirs], values);
    for call in &calls {
        let [ours, theirs] = [ours, theirs].map(|it| run(it, call).unwrap());
        if ours != theirs {
            let [ours, theirs] = [ours, theirs].map(Action::from_return_value);
            return Err(Difference { call: *call, ours, theirs });
        }
    }
    Ok(calls.len())
}

/// Returns a call for which a filter's action is wrong.
pub fn find(
    program: &[Instruction],
    values: &BTreeMap<usize, Vec<u64>>,
    is_wrong: impl Fn(&SyscallData, Action) -> bool,
) -> Option<(SyscallData, Action)> {
    let calls = calls([program, program], values).into_iter();
    let mut decided = calls
        .map(|call| (call, Action::from_return_value(run(program, &call).unwrap())));
    decided.find(|(call, action)| is_wrong(call, *action))
}

/// Returns a call for every number on every architecture; if one of the filters looks at
/// its arguments, one for all combinations of their values.
fn calls(
    programs: [&[Instruction]; 2],
    values: &BTreeMap<usize, Vec<u64>>,
) -> Vec<SyscallData> {
    let audits: BTreeSet<u32> =
        Arch::ALL.iter().map(|it| it.audit()).chain([0, 0x8000_0016]).collect();
    let blind = programs.map(without_arguments);
    let mut all = Vec::new();
    for arch in audits {
        for &number in &numbers(programs) {
            let call = SyscallData { number, arch, ..SyscallData::default() };
            match blind.iter().any(|it| run(it, &call).is_err()) {
                true => all.extend(with_values(call, values)),
                false => all.push(call),
            }
        }
    }
    all
}

fn with_values(
    call: SyscallData,
    values: &BTreeMap<usize, Vec<u64>>,
) -> Vec<SyscallData> {
    let mut calls = vec![call];
    for (&argument, values) in values {
        let with = |call: &SyscallData, value: u64| {
            let mut call = *call;
            call.arguments[argument] = value;
            call
        };
        calls = calls
            .iter()
            .flat_map(|call| values.iter().map(move |value| with(call, *value)))
            .collect();
    }
    calls
}

/// Returns the filter without its loads of arguments: the interpreter fails at one.
fn without_arguments(program: &[Instruction]) -> Vec<Instruction> {
    let blind = |it: &Instruction| match (it.code, it.k) {
        // ld [16] and above
        (0x20, 16..) => Instruction { k: u32::MAX, ..*it },
        _ => *it,
    };
    program.iter().map(blind).collect()
}
