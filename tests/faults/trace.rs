//! The trace of a run: its system calls, its output, and its exit code.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::calls::KnownCall;

/// A system call that was made.
#[derive(Clone, Debug)]
pub struct Call {
    /// The process: `runtime`, `child`, `helper`; `child 2` is the second of its kind.
    pub process: String,
    /// Its name, or its number if `list` does not have it.
    pub name: String,
    /// The number of this call among the process's calls of this name, from 1.
    pub nth: usize,
    /// The path or the file that it acted on.
    pub operand: String,
    /// The phase of the run in which it was made.
    pub phase: Phase,
}

/// A phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the runtime's first mkdir, which makes the run directory, or before its
    /// clone3 if there is no mkdir.
    Reading,
    /// After that, before the exec of the command.
    Starting,
    /// The command runs, or has run.
    Running,
}

/// The trace of a run.
pub struct Trace<T> {
    /// The calls, in order.
    pub calls: Vec<Call>,
    /// The exit code of the runtime, or 128 + n if signal n killed it.
    pub code: i32,
    /// The stdout of the runtime.
    pub out: String,
    /// The stderr of the runtime.
    pub err: String,
    /// Whether the run did not end in time, and was killed.
    pub hung: bool,
    /// Whether the call with the fault was made.
    pub hit: bool,
    /// The time from the start, or from the fault if there was one, to the end of the
    /// runtime.
    pub time: Duration,
    /// The facts about the command at its first exec. None if it did not run.
    pub command: Option<T>,
}

/// The program to trace.
pub struct Program<'a> {
    /// Its command line.
    pub words: &'a [OsString],
    /// Its working directory.
    pub dir: &'a Path,
    /// The runtime's executable. A process that executes another one is the command,
    /// and not traced.
    pub exe: &'a Path,
    /// The calls in the list.
    pub known: &'a [KnownCall],
}
