//! The listener of a seccomp filter: a program outside that answers for system calls.
//! See seccomp_unotify(2) and
//! <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#containerprocessstate>

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use kit::{Context, Hint, Result};
use rustix::fs::readlinkat;
use security::seccomp::Listener;
use serde::Serialize;

use crate::plan::Process;
use crate::state::{State, Status};

/// The connection to a listener, made while its socket is in sight.
#[derive(Debug)]
pub(crate) struct Connection {
    path: PathBuf,
    stream: UnixStream,
    metadata: Option<String>,
    /// The host's /proc, in which a process in another PID namespace finds its id.
    proc: OwnedFd,
}

/// The state that the listener receives with the descriptor.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'a str,
    fds: [&'a str; 1],
    pid: i32,
    metadata: &'a str,
    state: crate::state::OciState<'a>,
}

impl Connection {
    /// Connects to the listener of a process, if it has one.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn of(process: &Process) -> Result<Option<Self>> {
        process.listener.as_ref().map(Connection::open).transpose()
    }

    fn open(listener: &Listener) -> Result<Self> {
        let path = listener.path.display();
        let why = "it answers for some system calls";
        let stream = kit::call(why, "connect", path, || {
            UnixStream::connect(&listener.path).map(Stream)
        })
        .hint(
            "linux.seccomp.listenerPath: a program must listen on this Unix socket",
        )?;
        let proc = kit::open_directory(Path::new("/proc")).context("open /proc")?;
        let (path, metadata) = (listener.path.clone(), listener.metadata.clone());
        Ok(Connection { path, stream: stream.0, metadata, proc })
    }

    /// In the child: composes the message for the listener. The filter may forbid what
    /// this takes, so it is done before.
    ///
    /// # Errors
    /// When the id of this process cannot be read.
    pub fn message(&self, state: &State) -> Result<String> {
        let own = readlinkat(&self.proc, "self", Vec::new());
        let own = own.context("readlink /proc/self")?;
        let pid = own.to_str()?.parse()?;
        let mut state = state.clone();
        if state.process.pid == std::process::id() as i32 {
            state.process.pid = pid;
        }
        Ok(serde_json::to_string(&ProcessState {
            oci_version: &state.oci_version,
            fds: ["seccompFd"],
            pid,
            metadata: self.metadata.as_deref().unwrap_or_default(),
            state: state.to_oci(Status::Creating),
        })?)
    }

    /// In the child, once the filter is loaded: sends the listener its descriptor.
    ///
    /// # Errors
    /// The kernel's reason of sendmsg(2).
    pub fn send(&self, message: &str, descriptor: BorrowedFd<'_>) -> Result<()> {
        let operands = format_args!("{}, SCM_RIGHTS", self.path.display());
        kit::call("the listener gets the filter", "sendmsg", operands, || {
            exec::send_with_descriptors(&self.stream, message.as_bytes(), &[descriptor])
        })
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

struct Stream(UnixStream);

impl kit::Outcome for Stream {}
