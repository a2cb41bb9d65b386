//! A compiled filter, which the kernel can load.

use std::os::fd::OwnedFd;

use kit::{Hint, Result};
use nix::errno::Errno;

use super::instruction::Instruction;
use super::sys::{self, Loaded};

/// A compiled filter, and the flags of seccomp(2) with which it is loaded.
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
}

impl kit::Outcome for Loaded {
    fn show(&self) -> Option<String> {
        self.0.as_ref().map_or(Some("0".into()), kit::Outcome::show)
    }
}
