//! A run of a filter on one system call, as the kernel runs it.
//!
//! This answers `show --would`, and in the tests it compares two filters.

use kit::{Failure, Result};

use super::instruction::{self as op, Instruction};

/// A system call as a filter sees it: `struct seccomp_data` of seccomp(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyscallData {
    /// The number of the system call.
    pub number: u32,
    /// The architecture: `AUDIT_ARCH_*`.
    pub arch: u32,
    /// The address of the instruction that made the call.
    pub instruction_pointer: u64,
    /// The arguments.
    pub arguments: [u64; 6],
}

impl SyscallData {
    /// Returns the 32-bit word at this offset, in the byte order of every architecture
    /// that has a table here.
    fn word(&self, offset: u32) -> Option<u32> {
        let half = |value: u64| match offset % 8 {
            0 => Some(value as u32),
            4 => Some((value >> 32) as u32),
            _ => None,
        };
        match offset {
            0 => Some(self.number),
            4 => Some(self.arch),
            8..16 => half(self.instruction_pointer),
            16..64 => half(self.arguments[(offset as usize - 16) / 8]),
            _ => None,
        }
    }
}

/// Returns the value that the filter returns for a system call.
///
/// # Errors
/// If the program has an instruction that the kernel refuses in a filter, or has no end.
pub fn run(program: &[Instruction], call: &SyscallData) -> Result<u32> {
    let (mut accumulator, mut at) = (0u32, 0usize);
    loop {
        let Some(it) = program.get(at) else {
            return Err(Failure::new("the filter has no end").into());
        };
        at += 1;
        let jump = |taken: bool| usize::from(if taken { it.jt } else { it.jf });
        match it.code {
            op::LOAD => accumulator = call.word(it.k).ok_or_else(|| refused(it))?,
            op::AND => accumulator &= it.k,
            op::JUMP => at += it.k as usize,
            op::JUMP_EQUAL => at += jump(accumulator == it.k),
            op::JUMP_GREATER => at += jump(accumulator > it.k),
            op::JUMP_GREATER_OR_EQUAL => at += jump(accumulator >= it.k),
            op::JUMP_ANY_BIT => at += jump(accumulator & it.k != 0),
            op::RETURN => return Ok(it.k),
            _ => return Err(refused(it).into()),
        }
    }
}

fn refused(instruction: &Instruction) -> Failure {
    Failure::new(format_args!("no instruction of a seccomp filter: {instruction:?}"))
}
