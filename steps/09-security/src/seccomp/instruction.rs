//! An instruction of classic BPF, and the operations that a filter uses
//! ([bpf_common.h](https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/include/uapi/linux/bpf_common.h)).

/// An instruction of classic BPF: `struct sock_filter` of `linux/filter.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// The instructions to skip if the comparison holds.
    pub jt: u8,
    /// The instructions to skip otherwise.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// Loads a 32-bit word of `struct seccomp_data`: `ld [k]`.
pub const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
/// Keeps only some bits: `and #k`.
pub const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
/// Skips `k` instructions: `ja k`.
pub const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
/// Skips `jt` instructions if the word equals `k`, and `jf` otherwise.
pub const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
/// The same, if the word is greater.
pub const JUMP_GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
/// The same, if the word is greater or equal.
pub const JUMP_GREATER_OR_EQUAL: u16 =
    (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
/// The same, if the word has any of the bits.
pub const JUMP_ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
/// Returns `k`: `ret #k`.
pub const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
