//! The way in which a process is started, by the options of the command line.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use exec::{Child, OnParentDeath};
use kit::{Durability, Result};
use nix::unistd::Pid;

use crate::console;
use crate::exec_fifo::ExecFifo;

/// The way in which a process is started, by the options of the command line.
#[derive(Debug)]
pub(crate) struct Way<'a> {
    /// The gate at which it waits for `start`; none for `run`.
    pub gate: Option<&'a ExecFifo>,
    /// Whether it is killed when the runtime ends.
    pub on_parent_death: OnParentDeath,
    /// The descriptors of the caller that it inherits.
    pub inherited: Vec<BorrowedFd<'static>>,
    /// The sockets and the file by which the caller learns of it.
    pub handover: Handover,
}

/// The sockets and the file by which the caller learns of a new process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handover {
    /// The Unix socket that receives the master of its terminal.
    pub console_socket: Option<PathBuf>,
    /// The Unix socket that receives its pidfd.
    pub pidfd_socket: Option<PathBuf>,
    /// The file that receives its process id.
    pub pid_file: Option<PathBuf>,
}

impl Handover {
    /// Gives the caller what it has asked for. The terminal stays here if there is no
    /// socket for it.
    pub fn hand_over(&self, child: &mut Child) -> Result<()> {
        if let Some(socket) = &self.console_socket
            && let Some(master) = child.descriptor()
        {
            let why = "the engine gets the other end of its terminal";
            console::send(socket, "/dev/ptmx", master.as_fd(), why)?;
        }
        if let Some(socket) = &self.pidfd_socket {
            let why = "the engine gets its pidfd";
            console::send(socket, "pidfd", child.as_fd(), why)?;
        }
        self.pid_file
            .as_deref()
            .map_or(Ok(()), |path| write_pid_file(path, child.pid()))
    }
}

/// Writes a process id, without an end of line: containerd parses the whole file.
fn write_pid_file(path: &Path, pid: Pid) -> Result<()> {
    kit::call("--pid-file", "write", path.display(), || {
        let text = pid.to_string();
        kit::write_atomically(path, text.as_bytes(), 0o644, Durability::Kill)
    })
}
