//! A filter in the notation of the kernel's `bpf_asm`, with the names of the system calls.

use std::fmt::Write;

use super::arch::Arch;
use super::instruction::{self as op, Instruction};
use super::profile::Action;
use super::syscalls;

/// The state of the filter before an instruction, as far as it is certain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// The offset of the word that is loaded.
    loaded: Option<u32>,
    /// The architecture that has been found: `AUDIT_ARCH_*`.
    arch: Option<u32>,
}

/// Returns a line for each instruction.
pub fn disassemble(program: &[Instruction]) -> String {
    let states = states(program);
    let mut text = String::new();
    for (at, (it, state)) in program.iter().zip(&states).enumerate() {
        let (code, targets) = mnemonic(it, at);
        let line = format!("{at:>5}  {code:<18} {targets:<14} {}", comment(it, state));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Returns the state before each instruction. All jumps lead forward, so one pass is
/// enough.
fn states(program: &[Instruction]) -> Vec<State> {
    let mut states: Vec<Option<State>> = vec![None; program.len()];
    if let Some(first) = states.first_mut() {
        *first = Some(State::default());
    }
    for (at, it) in program.iter().enumerate() {
        let state = states[at].unwrap_or_default();
        for (target, after) in successors(it, at, state) {
            let Some(known) = states.get_mut(target) else { continue };
            *known = Some(match *known {
                None => after,
                Some(known) => State {
                    loaded: known.loaded.filter(|it| after.loaded == Some(*it)),
                    arch: known.arch.filter(|it| after.arch == Some(*it)),
                },
            });
        }
    }
    states.into_iter().map(Option::unwrap_or_default).collect()
}

fn successors(it: &Instruction, at: usize, state: State) -> Vec<(usize, State)> {
    let next = at + 1;
    match it.code {
        op::RETURN => Vec::new(),
        op::LOAD => vec![(next, State { loaded: Some(it.k), ..state })],
        op::JUMP => vec![(next + it.k as usize, state)],
        op::JUMP_EQUAL if state.loaded == Some(4) => {
            let found = State { arch: Some(it.k), ..state };
            vec![(next + usize::from(it.jt), found), (next + usize::from(it.jf), state)]
        }
        code if code & 7 == libc::BPF_JMP as u16 => {
            vec![(next + usize::from(it.jt), state), (next + usize::from(it.jf), state)]
        }
        _ => vec![(next, state)],
    }
}

/// Returns `jeq #110` and `→ 7, else 9`.
fn mnemonic(it: &Instruction, at: usize) -> (String, String) {
    let jump = |name: &str| {
        let target = |skip: u8| at + 1 + usize::from(skip);
        let targets = format!("→ {}, else {}", target(it.jt), target(it.jf));
        (format!("{name} #{:#x}", it.k), targets)
    };
    match it.code {
        op::LOAD => (format!("ld [{}]", it.k), String::new()),
        op::AND => (format!("and #{:#x}", it.k), String::new()),
        op::JUMP => ("ja".into(), format!("→ {}", at + 1 + it.k as usize)),
        op::JUMP_EQUAL => jump("jeq"),
        op::JUMP_GREATER => jump("jgt"),
        op::JUMP_GREATER_OR_EQUAL => jump("jge"),
        op::JUMP_ANY_BIT => jump("jset"),
        op::RETURN => (format!("ret #{:#x}", it.k), String::new()),
        code => (format!("code {code:#x}, #{:#x}", it.k), String::new()),
    }
}

fn comment(it: &Instruction, state: &State) -> String {
    match it.code {
        op::LOAD => word(it.k),
        op::RETURN => Action::from_return_value(it.k).to_string(),
        op::JUMP_EQUAL if state.loaded == Some(4) => archs(it.k),
        op::JUMP_EQUAL if state.loaded == Some(0) => {
            format!("{}?", name(state.arch, it.k))
        }
        op::JUMP_GREATER_OR_EQUAL if state.loaded == Some(0) => {
            format!("{} or later?", name(state.arch, it.k))
        }
        _ => String::new(),
    }
}

/// Returns the name of a word of `struct seccomp_data`.
fn word(offset: u32) -> String {
    let half = if offset.is_multiple_of(8) { "lower" } else { "upper" };
    match offset {
        0 => "the number of the system call".into(),
        4 => "the architecture".into(),
        8..16 => format!("{half} half of the instruction pointer"),
        _ => format!("{half} half of argument {}", (offset - 16) / 8),
    }
}

fn archs(audit: u32) -> String {
    let names = Arch::ALL.iter().filter(|it| it.audit() == audit).map(|it| it.name());
    names.collect::<Vec<_>>().join(" or ") + "?"
}

/// Returns the name of a system call, or its number if it has none.
fn name(audit: Option<u32>, number: u32) -> String {
    let archs = Arch::ALL.into_iter().filter(|it| Some(it.audit()) == audit);
    let mut names =
        archs.filter_map(|arch| Some((arch, syscalls::name(arch, number)?)));
    match names.next() {
        Some((Arch::X32, name)) => format!("{name} of x32"),
        Some((_, name)) => name.into(),
        // The mark of x32 is easier to see in hexadecimal.
        None => format!("{number:#x}"),
    }
}
