//! The system calls with which two filters are compared.

use std::collections::{BTreeMap, BTreeSet};

use security::seccomp::{Arch, Instruction, SyscallData, run, run_counted};

/// Values on both sides of each value of a comparison, and the same with a bit of the
/// other half set.
pub fn boundaries(values: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let mut all = BTreeSet::from([0, 1, u64::MAX, 1 << 31, 1 << 32, 1 << 63]);
    for value in values {
        for near in [value.wrapping_sub(1), value, value.wrapping_add(1)] {
            all.extend([near, near ^ (1 << 32), near ^ (1 << 63), near & 0xffff_ffff]);
            all.extend([
                near | 0xffff_ffff_0000_0000,
                near << 32,
                near.rotate_left(32),
            ]);
        }
    }
    all.into_iter().collect()
}

/// Every number that one of the filters compares with, and its neighbours, and more.
pub fn numbers(programs: [&[Instruction]; 2]) -> BTreeSet<u32> {
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

/// Asserts that two filters decide alike, for all numbers of all architectures, with
/// these values of some arguments.
pub fn assert_same(
    ours: &[Instruction],
    theirs: &[Instruction],
    values: &BTreeMap<usize, Vec<u64>>,
) -> usize {
    let audits: BTreeSet<u32> =
        Arch::ALL.iter().map(|it| it.audit()).chain([0, 0x8000_0016]).collect();
    let mut compared = 0;
    for arch in audits {
        for &number in &numbers([ours, theirs]) {
            let call = SyscallData { number, arch, ..SyscallData::default() };
            compared += 1;
            compare(ours, theirs, &call);
            if depends_on_arguments(ours, &call) || depends_on_arguments(theirs, &call)
            {
                compared += assert_same_for(ours, theirs, call, values);
            }
        }
    }
    compared
}

fn assert_same_for(
    ours: &[Instruction],
    theirs: &[Instruction],
    call: SyscallData,
    values: &BTreeMap<usize, Vec<u64>>,
) -> usize {
    let mut calls = vec![call];
    for (&argument, values) in values {
        calls = calls
            .iter()
            .flat_map(|call| {
                values.iter().map(move |value| {
                    let mut call = *call;
                    call.arguments[argument] = *value;
                    call
                })
            })
            .collect();
    }
    for call in &calls {
        compare(ours, theirs, call);
    }
    calls.len()
}

#[track_caller]
fn compare(ours: &[Instruction], theirs: &[Instruction], call: &SyscallData) {
    let (our, their) = (run(ours, call).unwrap(), run(theirs, call).unwrap());
    assert_eq!(our, their, "{our:#x} is not {their:#x} for {call:#x?}");
}

/// Returns whether the filter loads an argument of this call: a program that reads only
/// the number and the architecture does without one.
fn depends_on_arguments(program: &[Instruction], call: &SyscallData) -> bool {
    let without_arguments: Vec<Instruction> = program
        .iter()
        .map(|it| match (it.code, it.k) {
            // ld [16..]: what the interpreter refuses.
            (0x20, 16..) => Instruction { k: u32::MAX, ..*it },
            _ => *it,
        })
        .collect();
    run_counted(&without_arguments, call).is_err()
}
