//! How a process ended.

use std::fmt;
use std::process::ExitCode;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Exited(u8),
    /// This signal ended it.
    Killed(i32),
}

impl Status {
    /// The end that wait(2) tells of: an exit code, or the number of a signal. None: it
    /// lives.
    pub fn of(exit_code: Option<i32>, signal: Option<i32>) -> Option<Self> {
        exit_code.map(|code| Status::Exited(code as u8)).or(signal.map(Status::Killed))
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
