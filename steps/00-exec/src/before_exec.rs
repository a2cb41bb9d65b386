//! The work of later steps between the announced exec and execve(2).

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use anyhow::{Context, Result};
use kit::{Failure, narration};
use rustix::io::{Errno, FdFlags, fcntl_setfd, read, write};

use crate::channel::Channel;

/// The byte that a process writes back into [`Gate::Fifo`]: the exec is next. If the
/// FIFO is closed without it, the process has failed or died.
pub const EXEC_IS_NEXT: &[u8] = b"1";

/// The work of later steps at the end of a start. By default there is none.
#[derive(Default)]
pub struct BeforeExec<'a> {
    /// The descriptors that the command inherits, besides the standard streams.
    pub inherited: Vec<BorrowedFd<'a>>,
    /// Other descriptors that [`BeforeExec::confine`] needs. The exec closes them.
    pub kept: Vec<BorrowedFd<'a>>,
    /// The go-ahead for which the process waits once its program is found.
    pub gate: Gate<'a>,
    /// The last thing that happens before execve, but for `hooks`: it takes away the
    /// rights that only the runtime needs, and loads the seccomp filter.
    pub confine: Option<&'a dyn Fn() -> Result<()>>,
    /// Starts other programs with the rights of the command. They do not inherit
    /// `inherited`.
    pub hooks: Option<&'a dyn Fn() -> Result<()>>,
}

/// The go-ahead for which a process waits before it executes its program.
#[derive(Clone, Copy, Default)]
pub enum Gate<'a> {
    /// The parent's, over the channel.
    #[default]
    Parent,
    /// A byte that any process writes into this FIFO, which is open for reading and
    /// writing. The parent may have ended by then.
    Fifo(BorrowedFd<'a>),
}

impl<'a> BeforeExec<'a> {
    /// The descriptors that must stay open until the exec, the channel first.
    pub fn needed(&self, parent: &'a Channel) -> Vec<BorrowedFd<'a>> {
        let gate = match self.gate {
            Gate::Parent => None,
            Gate::Fifo(fifo) => Some(fifo),
        };
        let own = std::iter::once(parent.as_fd()).chain(gate);
        own.chain(self.inherited.iter().chain(&self.kept).copied()).collect()
    }

    /// Reports a failure after the go-ahead to the process that has given it: the
    /// parent may have ended. That process reads the FIFO once this one is gone.
    pub(crate) fn report(&self, error: &anyhow::Error) {
        if let Gate::Fifo(fifo) = self.gate
            && let Ok(failure) = serde_json::to_vec(&Failure::of(error))
        {
            let _ = write(fifo, &failure);
        }
    }

    /// Narrates the exec, unless [`BeforeExec::run`] does so: after the calls of
    /// `confine`.
    pub(crate) fn announce(&self, program: &Path) {
        if !self.narrates_confine() {
            announce_execve(program);
        }
    }

    /// Whether the parent still prints the narration when this process is confined.
    fn narrates_confine(&self) -> bool {
        self.confine.is_some() && matches!(self.gate, Gate::Parent)
    }

    /// Waits for the go-ahead at the gate, and then confines this process.
    pub(crate) fn run(&self, program: &Path, parent: &Channel) -> Result<()> {
        if let Gate::Fifo(fifo) = self.gate {
            parent.close()?;
            wait_for_start(fifo)?;
        }
        if self.hooks.is_none() {
            self.prepare_exec()?; // before a filter that may forbid it
        }
        self.confine.map_or(Ok(()), |confine| confine())?;
        if let Some(hooks) = self.hooks {
            hooks()?;
            self.prepare_exec()?;
        }
        if self.narrates_confine() && narration::is_on() {
            announce_execve(program);
            // Once the parent has answered, it has printed all this. If the filter of
            // system calls forbids the message, the last lines may come late.
            let _ = parent.announce_exec();
        }
        Ok(())
    }

    /// Has the next exec keep the descriptors that the command inherits, and tells the
    /// process that has given the go-ahead that it is next.
    fn prepare_exec(&self) -> Result<()> {
        for descriptor in &self.inherited {
            fcntl_setfd(descriptor, FdFlags::empty())
                .context("fcntl(an inherited descriptor, F_SETFD)")?;
        }
        if let Gate::Fifo(fifo) = self.gate {
            write(fifo, EXEC_IS_NEXT).context("write(the exec FIFO)")?;
        }
        Ok(())
    }
}

fn announce_execve(program: &Path) {
    kit::announce("and now it is the command", "execve", program.display());
}

/// Waits until a process writes a byte into the FIFO. This process has it open for
/// writing, too, so that it reads no end of file when no other process has.
fn wait_for_start(fifo: BorrowedFd<'_>) -> Result<()> {
    loop {
        match read(fifo, &mut [0; 1]) {
            Ok(0) => return Err(Failure::new("the exec FIFO was closed").into()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("read(the exec FIFO)"),
        }
    }
}
