//! The compiler: from a profile to a program in classic BPF.

use std::collections::BTreeMap;

use kit::{Failure, Result};

use super::arch::{Arch, Width, X32_BIT};
use super::assembler::{Assembler, Label};
use super::filter::Filter;
use super::instruction as op;
use super::instruction::Instruction;
use super::matches::{Match, Matches};
use super::profile::{Action, Comparison, Condition, Profile};

/// The offsets in `struct seccomp_data` (seccomp(2)).
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// The kernel's limit: `BPF_MAXINSNS`.
const LONGEST: usize = 4096;

/// The action for an architecture that the profile does not name, as in libseccomp.
const OTHER_ARCHITECTURE: Action = Action::KillThread;

// ANCHOR: compile
/// Compiles a profile.
///
/// The filter first asks for the architecture, since each has its own numbers. Then it
/// finds the number of the system call by binary search, and at last it compares the
/// arguments, if a rule has conditions.
///
/// # Errors
/// If the filter is longer than the kernel allows.
pub fn compile(profile: &Profile) -> Result<Filter> {
    let mut asm = Assembler::default();
    let mut next = asm.ret(OTHER_ARCHITECTURE.to_return_value());
    // The native architecture is tried first, so it is written last.
    for audit in audit_values(profile).into_iter().rev() {
        let number_line = NumberLine::of(&mut asm, profile, audit);
        let found = asm.search(&number_line.segments());
        let found = asm.load(NUMBER, found);
        next = asm.branch(op::JUMP_EQUAL, audit, found, next);
    }
    let start = asm.load(ARCH, next);
    let instructions = asm.finish(start);
    check_length(&instructions)?;
    Ok(Filter { instructions, flags: flags(profile) })
}
// ANCHOR_END: compile

/// Returns the values of `seccomp_data.arch` that the profile judges.
fn audit_values(profile: &Profile) -> Vec<u32> {
    let mut values: Vec<u32> = Vec::new();
    for arch in &profile.architectures {
        if !values.contains(&arch.audit()) {
            values.push(arch.audit());
        }
    }
    values
}

// ANCHOR: number-line
/// The system calls of a processor's mode as a line of numbers: from each key up to the
/// next, all numbers have the same outcome.
struct NumberLine(BTreeMap<u32, Label>);

impl NumberLine {
    fn of(asm: &mut Assembler, profile: &Profile, audit: u32) -> NumberLine {
        let default = asm.ret(profile.default_action.to_return_value());
        let other = asm.ret(OTHER_ARCHITECTURE.to_return_value());
        // x86_64 and x32 share a line: x32 begins at its bit. A tracer sets the number
        // to -1 to skip a call, so that one belongs to no architecture.
        let mut line = match audit == Arch::X32.audit() {
            true => {
                NumberLine([(0, other), (X32_BIT, other), (u32::MAX, default)].into())
            }
            false => NumberLine([(0, default)].into()),
        };
        for arch in &profile.architectures {
            if arch.audit() == audit {
                line.add(asm, profile, *arch, default);
            }
        }
        line
    }

    fn add(
        &mut self,
        asm: &mut Assembler,
        profile: &Profile,
        arch: Arch,
        default: Label,
    ) {
        let matches = Matches::new(profile, arch);
        self.0.insert(if arch == Arch::X32 { X32_BIT } else { 0 }, default);
        if let Some(newest) = matches.newest {
            let newer = outcome_of_newer_calls(profile.default_action);
            let newer = asm.ret(newer.to_return_value());
            self.0.entry(newest + 1).or_insert(newer);
        }
        for (number, of_call) in &matches.by_number {
            let outcome = asm.decide(of_call, arch.width(), default);
            // The number after it keeps its own outcome, if it has one.
            self.0.entry(number + 1).or_insert(default);
            self.0.insert(*number, outcome);
        }
    }

    /// Returns the first number of each segment and its outcome, without neighbours of
    /// the same outcome.
    fn segments(self) -> Vec<(u32, Label)> {
        let mut segments: Vec<_> = self.0.into_iter().collect();
        segments.dedup_by_key(|(_, outcome)| *outcome);
        segments
    }
}

/// Returns the action for system calls that are newer than the profile. A library that
/// is told ENOSYS falls back to older calls; told EPERM, it gives up. A default that
/// makes the call stays as it is.
fn outcome_of_newer_calls(default: Action) -> Action {
    match default {
        Action::Allow | Action::Log | Action::Trace(_) => default,
        _ => Action::Errno(libc::ENOSYS as u16),
    }
}
// ANCHOR_END: number-line

impl Assembler {
    // ANCHOR: search
    /// Writes a binary search for the segment of the loaded number.
    fn search(&mut self, segments: &[(u32, Label)]) -> Label {
        match *segments {
            [(_, only)] => only,
            // A single number between others of the same outcome.
            [(_, before), (number, it), (after, rest)]
                if before == rest && after == number + 1 =>
            {
                self.branch(op::JUMP_EQUAL, number, it, before)
            }
            _ => {
                let (lower, upper) = segments.split_at(segments.len() / 2);
                let (middle, lower) = (upper[0].0, self.search(lower));
                let upper = self.search(upper);
                self.branch(op::JUMP_GREATER_OR_EQUAL, middle, upper, lower)
            }
        }
    }
    // ANCHOR_END: search

    /// Writes the rules of one system call; the first whose conditions all hold decides.
    fn decide(&mut self, of_call: &[Match], width: Width, default: Label) -> Label {
        of_call.iter().rev().fold(default, |otherwise, rule| {
            let action = self.ret(rule.action.to_return_value());
            rule.conditions.iter().rev().fold(action, |holds, condition| {
                self.compare(condition, width, holds, otherwise)
            })
        })
    }

    // ANCHOR: compare
    /// Writes a comparison of an argument. BPF compares 32 bits, so the upper half of a
    /// 64-bit argument comes first, and then the lower half.
    fn compare(
        &mut self,
        condition: &Condition,
        width: Width,
        holds: Label,
        fails: Label,
    ) -> Label {
        let (code, mask, value, yes, no) = match condition.comparison {
            Comparison::Equal(it) => (op::JUMP_EQUAL, u64::MAX, it, holds, fails),
            Comparison::NotEqual(it) => (op::JUMP_EQUAL, u64::MAX, it, fails, holds),
            Comparison::MaskedEqual { mask, value } => {
                (op::JUMP_EQUAL, mask, value & mask, holds, fails)
            }
            Comparison::Greater(it) => (op::JUMP_GREATER, u64::MAX, it, holds, fails),
            Comparison::LessOrEqual(it) => {
                (op::JUMP_GREATER, u64::MAX, it, fails, holds)
            }
            Comparison::GreaterOrEqual(it) => {
                (op::JUMP_GREATER_OR_EQUAL, u64::MAX, it, holds, fails)
            }
            Comparison::Less(it) => {
                (op::JUMP_GREATER_OR_EQUAL, u64::MAX, it, fails, holds)
            }
        };
        let lower = ARGUMENTS + 8 * u32::from(condition.argument);
        let upper = lower + 4;
        let test = self.branch(code, value as u32, yes, no);
        let test = self.load_masked(lower, mask as u32, test);
        if width == Width::Bits32 {
            return test;
        }
        let (mask, value) = ((mask >> 32) as u32, (value >> 32) as u32);
        if mask == 0 {
            return test;
        }
        let equal = self.branch(op::JUMP_EQUAL, value, test, no);
        let test = match code {
            op::JUMP_EQUAL => equal,
            _ => self.branch(op::JUMP_GREATER, value, yes, equal),
        };
        self.load_masked(upper, mask, test)
    }
    // ANCHOR_END: compare

    fn load_masked(&mut self, offset: u32, mask: u32, next: Label) -> Label {
        let next = if mask == u32::MAX { next } else { self.and(mask, next) };
        self.load(offset, next)
    }
}

fn check_length(instructions: &[Instruction]) -> Result<()> {
    match instructions.len() {
        0..=LONGEST => Ok(()),
        length => Err(Failure::new(format_args!(
            "the seccomp profile compiles to {length} instructions; the kernel allows {LONGEST}"
        ))
        .hint("a profile with fewer conditions on arguments is shorter")
        .into()),
    }
}

fn flags(profile: &Profile) -> u32 {
    let notifies = profile.notifies();
    let listener =
        if notifies { libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32 } else { 0 };
    // With a listener, the kernel cannot return the id of a thread that cannot follow.
    let tsync = profile.flags.0 & libc::SECCOMP_FILTER_FLAG_TSYNC as u32;
    let esrch = if notifies && tsync != 0 {
        libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH as u32
    } else {
        0
    };
    profile.flags.0 | listener | esrch
}

#[cfg(test)]
mod tests;
