//! Version 2: a BPF program decides about each access to a device (cgroup-v2.rst,
//! "Device controller").

use std::os::fd::AsFd;

use anyhow::{Context, Result};
use kit::Hint;
use nix::errno::Errno;

use crate::device_rules::{DeviceKind, DeviceRule, DeviceRules, DeviceVerdict};
use crate::directory::Directory;
use crate::sys::{self, Instruction};

/// Attaches a program for the rules to the cgroup. A program that is attached already
/// is replaced.
///
/// # Errors
/// When the kernel refuses the program, or to attach it.
pub(crate) fn attach(rules: &DeviceRules, cgroup: &Directory) -> Result<()> {
    let program = kit::call(
        "a program decides about each access to a device",
        "bpf",
        format_args!("BPF_PROG_LOAD, {} rules", rules.0.len()),
        || sys::load(&program(rules)),
    )
    .hint_on(Errno::EPERM, "device rules need CAP_BPF or CAP_SYS_ADMIN on the host")?;
    let path = cgroup.path();
    let directory = kit::open_directory(path)?;
    let old = sys::attached(directory.as_fd())
        .with_context(|| format!("bpf(BPF_PROG_QUERY, {})", path.display()))?;
    // Replacing is atomic. If there are several, all must allow an access, so the new
    // one comes first and the others go then.
    let replaced = match &old[..] {
        [one] => Some(one.as_fd()),
        _ => None,
    };
    kit::call(
        "ask the program from now on",
        "bpf",
        format_args!("BPF_PROG_ATTACH, {}", path.display()),
        || sys::attach(directory.as_fd(), program.as_fd(), replaced),
    )?;
    for old in old.iter().filter(|_| replaced.is_none()) {
        kit::call("no longer ask the earlier one", "bpf", "BPF_PROG_DETACH", || {
            sys::detach(directory.as_fd(), old.as_fd())
        })?;
    }
    Ok(())
}

/// The registers: the verdict, the kind of device, the accesses that no rule has
/// decided yet, and the device's numbers.
const VERDICT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// Writes the program. It tries the rules from the last to the first. A rule that
/// allows takes its kinds of access off those that are asked for, and when none is left
/// the access is allowed. A rule that denies one of those left ends it.
fn program(rules: &DeviceRules) -> Vec<Instruction> {
    // struct bpf_cgroup_dev_ctx: access_type (access << 16 | kind), major, minor.
    let mut program = vec![
        load(KIND, 0),
        copy(ACCESS, KIND),
        and(KIND, 0xffff),
        shift_right(ACCESS, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in rules.0.iter().rev() {
        program.extend(tests(rule));
    }
    program.extend(end(DeviceVerdict::Deny));
    program
}

/// Returns the instructions of one rule. If it does not match, they jump to the next.
fn tests(rule: &DeviceRule) -> Vec<Instruction> {
    let bits = i32::from(rule.access.bits());
    let decision = match rule.verdict {
        DeviceVerdict::Deny => {
            // No access of this rule is asked for: on to the next.
            let mut decision = vec![jump_if_any(ACCESS, bits, 1), jump(2)];
            decision.extend(end(DeviceVerdict::Deny));
            decision
        }
        DeviceVerdict::Allow => {
            let mut decision =
                vec![and(ACCESS, !bits), jump_unless_equal(ACCESS, 0, 2)];
            decision.extend(end(DeviceVerdict::Allow));
            decision
        }
    };
    let kind = rule.kind.map(|kind| match kind {
        DeviceKind::Block => 1, // BPF_DEVCG_DEV_BLOCK
        DeviceKind::Char => 2,  // BPF_DEVCG_DEV_CHAR
    });
    // The kernel compares the sign-extended number, of which all 32 bits count.
    let number = |number: Option<u32>| number.map(u32::cast_signed);
    let conditions =
        [(KIND, kind), (MAJOR, number(rule.major)), (MINOR, number(rule.minor))];
    let mut tests = decision;
    for (register, value) in conditions.into_iter().rev() {
        if let Some(value) = value {
            let length = i16::try_from(tests.len()).unwrap_or(i16::MAX);
            tests.insert(0, jump_unless_equal(register, value, length));
        }
    }
    tests
}

/// Returns the instructions that end the program.
fn end(verdict: DeviceVerdict) -> [Instruction; 2] {
    let value = match verdict {
        DeviceVerdict::Allow => 1,
        DeviceVerdict::Deny => 0,
    };
    [set(VERDICT, value), instruction(0x95, 0, 0, 0)] // BPF_EXIT
}

fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers, offset, immediate }
}

/// `register = *(u32 *)(context + offset)`: BPF_LDX | BPF_W | BPF_MEM.
fn load(register: u8, offset: i16) -> Instruction {
    instruction(0x61, CONTEXT << 4 | register, offset, 0)
}

/// `to = from`: BPF_ALU | BPF_MOV | BPF_X.
fn copy(to: u8, from: u8) -> Instruction {
    instruction(0xbc, from << 4 | to, 0, 0)
}

/// `register = value`: BPF_ALU | BPF_MOV | BPF_K.
fn set(register: u8, value: i32) -> Instruction {
    instruction(0xb4, register, 0, value)
}

/// `register &= value`: BPF_ALU | BPF_AND | BPF_K.
fn and(register: u8, value: i32) -> Instruction {
    instruction(0x54, register, 0, value)
}

/// `register >>= bits`: BPF_ALU | BPF_RSH | BPF_K.
fn shift_right(register: u8, bits: i32) -> Instruction {
    instruction(0x74, register, 0, bits)
}

/// Jumps over `count` instructions: BPF_JMP | BPF_JA.
fn jump(count: i16) -> Instruction {
    instruction(0x05, 0, count, 0)
}

/// Jumps if the register has another value: BPF_JMP32 | BPF_JNE | BPF_K.
fn jump_unless_equal(register: u8, value: i32, count: i16) -> Instruction {
    instruction(0x56, register, count, value)
}

/// Jumps if the register has one of the bits: BPF_JMP32 | BPF_JSET | BPF_K.
fn jump_if_any(register: u8, bits: i32, count: i16) -> Instruction {
    instruction(0x46, register, count, bits)
}
