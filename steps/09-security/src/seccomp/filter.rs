//! A compiled filter, which the kernel can load.

use std::os::fd::OwnedFd;

use kit::{Failure, Hint, Result};
use nix::errno::Errno;

use super::instruction::Instruction;
use super::sys::{self, Loaded};

/// A compiled filter, and the flags of seccomp(2) with which it is loaded.
///
/// It can be kept as bytes, and loaded without any further work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub(super) instructions: Vec<Instruction>,
    pub(super) flags: u32,
}

impl Filter {
    /// Returns the instructions.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// Returns whether [`Filter::load`] returns a descriptor for a listener.
    pub fn has_listener(&self) -> bool {
        self.flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32 != 0
    }

    // ANCHOR: load
    /// Loads the filter into the kernel. From then on, it judges every system call of
    /// this thread and of its children; nothing removes it.
    ///
    /// Returns the descriptor on which a listener answers, if a rule has the action
    /// `Notify`.
    ///
    /// # Errors
    /// If the process has neither no_new_privs nor CAP_SYS_ADMIN (EACCES), or if the
    /// kernel lacks a flag (EINVAL).
    pub fn load(&self) -> Result<Option<OwnedFd>> {
        let operands =
            format_args!("SET_MODE_FILTER, {} instructions", self.instructions.len());
        let loaded = kit::call("only these system calls", "seccomp", operands, || {
            sys::set_mode_filter(self.flags, &self.instructions)
        });
        loaded
            .hint_on(
                Errno::EACCES,
                "a filter needs either no_new_privs or CAP_SYS_ADMIN in the user namespace",
            )
            .hint_on(Errno::EINVAL, "this kernel may lack a flag of the profile")
            .map(|Loaded(listener)| listener)
    }
    // ANCHOR_END: load

    /// Returns the filter as bytes, for a cache.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.flags.to_ne_bytes().to_vec();
        for it in &self.instructions {
            bytes.extend(it.code.to_ne_bytes());
            bytes.extend([it.jt, it.jf]);
            bytes.extend(it.k.to_ne_bytes());
        }
        bytes
    }

    /// Returns the filter of which [`Filter::to_bytes`] has made the bytes.
    ///
    /// # Errors
    /// If the length is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Filter> {
        let wrong = || Failure::new("the bytes are no seccomp filter");
        let (flags, rest) = bytes.split_first_chunk::<4>().ok_or_else(wrong)?;
        let (instructions, []) = rest.as_chunks::<8>() else {
            return Err(wrong().into());
        };
        let instruction = |&[a, b, jt, jf, k @ ..]: &[u8; 8]| Instruction {
            code: u16::from_ne_bytes([a, b]),
            jt,
            jf,
            k: u32::from_ne_bytes(k),
        };
        Ok(Filter {
            instructions: instructions.iter().map(instruction).collect(),
            flags: u32::from_ne_bytes(*flags),
        })
    }
}

impl kit::Outcome for Loaded {
    fn show(&self) -> Option<String> {
        self.0.as_ref().map_or(Some("0".into()), kit::Outcome::show)
    }
}
