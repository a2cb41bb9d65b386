//! The system calls that a process may make: seccomp(2).
//!
//! A [`Profile`] says what happens on which system call. [`compile`] makes a [`Filter`] of
//! it, a program in classic BPF, and the kernel runs this program at every system call of
//! the process. The profile comes from a file ([`parse`]), from config.json
//! ([`Profile::from_oci`]), or it is the default ([`default_profile`]).

mod arch;
mod assembler;
mod compile;
mod default_profile;
mod describe;
mod disassembly;
mod document;
mod filter;
mod host;
mod instruction;
mod interpreter;
mod matches;
mod multiplexed;
mod oci;
mod profile;
mod show;
mod sys;
mod syscalls;
mod verdict;

pub use arch::{Arch, Width};
pub use compile::compile;
pub use default_profile::{Allowed, GROUPS, Group, default_profile};
pub use disassembly::disassemble;
pub use document::parse;
pub use filter::Filter;
pub use host::{Host, KernelVersion};
pub use instruction::Instruction;
pub use interpreter::{SyscallData, run};
pub use profile::{Action, Comparison, Condition, Flags, Listener, Profile, Rule};
pub use show::table;
pub use syscalls::{name as syscall_name, number as syscall_number};
pub use verdict::{Question, verdict};
