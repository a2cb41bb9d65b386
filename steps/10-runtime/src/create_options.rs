//! The options with which `create` and `run` start a container.

use std::os::fd::BorrowedFd;

use exec::OnParentDeath;

use crate::exec_fifo::ExecFifo;
use crate::process_handles::ProcessHandles;

/// The options with which `create` and `run` start a container.
#[derive(Debug)]
pub(crate) struct CreateOptions<'a> {
    /// The gate at which the first process waits for `start`; none for `run`.
    pub gate: Option<&'a ExecFifo>,
    /// Whether the first process is killed when the runtime ends.
    pub on_parent_death: OnParentDeath,
    /// The descriptors of the caller that it inherits.
    pub inherited: Vec<BorrowedFd<'static>>,
    /// The handles of it that the caller gets.
    pub handles: ProcessHandles,
}
