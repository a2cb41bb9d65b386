//! How a process ended.

use std::fmt;
use std::process::ExitCode;

use nix::sys::wait::WaitStatus;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Exited(u8),
    /// This signal ended it.
    Killed(i32),
}

impl Status {
    /// The end that wait(2) tells of, if it is one.
    pub fn of(status: WaitStatus) -> Option<Self> {
        match status {
            WaitStatus::Exited(_, code) => Some(Status::Exited(code as u8)),
            WaitStatus::Signaled(_, signal, _) => Some(Status::Killed(signal as i32)),
            _ => None,
        }
    }

    /// The exit code that tells it on: the command's own, or 128 + the signal.
    pub fn code(self) -> u8 {
        match self {
            Status::Exited(code) => code,
            Status::Killed(signal) => 128 + signal as u8,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Exited(code) => write!(f, "exited {code}"),
            Status::Killed(signal) => write!(f, "killed by signal {signal}"),
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        ExitCode::from(status.code())
    }
}
