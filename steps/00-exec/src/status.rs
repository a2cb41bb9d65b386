//! The exit status of a process.

use std::fmt;
use std::process::ExitCode;

/// The exit status of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It has exited with this code.
    Exited(u8),
    /// The signal of this number has ended it.
    Killed(i32),
}

impl Status {
    /// Makes a status of the answer of wait(2): an exit code, or the number of a
    /// signal. None: the process lives.
    pub fn of(exit_code: Option<i32>, signal: Option<i32>) -> Option<Self> {
        exit_code.map(|code| Status::Exited(code as u8)).or(signal.map(Status::Killed))
    }

    /// Returns the exit code for our own caller: the command's, or 128 + the signal.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_of_a_killed_command_is_128_plus_the_signal() {
        assert_eq!((Status::Exited(7).code(), Status::Killed(9).code()), (7, 137));
    }
}
