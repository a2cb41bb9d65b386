//! The handles of a new process that the caller of the runtime gets: its terminal, its
//! pidfd and its process id.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use exec::Child;
use kit::{Durability, Result};
use nix::unistd::Pid;

use crate::console;

/// The sockets and the file that receive the handles of a new process.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProcessHandles {
    /// The Unix socket that receives the master of its terminal.
    pub console_socket: Option<PathBuf>,
    /// The Unix socket that receives its pidfd.
    pub pidfd_socket: Option<PathBuf>,
    /// The file that receives its process id.
    pub pid_file: Option<PathBuf>,
}

impl ProcessHandles {
    /// Sends the handles that the caller has asked for. The terminal stays here if there
    /// is no socket for it.
    ///
    /// # Errors
    /// As [`console::send`], and when the file cannot be written.
    pub fn send(&self, child: &mut Child) -> Result<()> {
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
