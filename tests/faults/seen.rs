//! What is seen of a run: its system calls, and how it ends.

use std::ffi::OsString;
use std::path::Path;

use crate::calls::Known;

/// A system call that was made.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who made it: `runtime`, `child`, `helper`; `child 2` is the second of its kind.
    pub process: String,
    /// Its name; its number where `list` does not have it.
    pub name: String,
    /// How many of this name the process had made, with this one.
    pub nth: usize,
    /// What it acted on.
    pub operand: String,
    /// When it was made.
    pub phase: Phase,
}

/// Before the command runs, or after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the runtime's first mkdir, which makes the run directory; without one,
    /// its clone3.
    Reading,
    /// Before the command's exec.
    Starting,
    /// The command runs, or has run.
    Running,
}

/// What was seen of a run.
pub struct Trace<T> {
    /// Each call, in order.
    pub calls: Vec<Call>,
    /// The exit code of the runtime; 128 + n when signal n ended it.
    pub code: i32,
    /// Its stdout.
    pub out: String,
    /// Its stderr.
    pub err: String,
    /// Whether it had to be killed, because it did not end.
    pub hung: bool,
    /// Whether the call that was aimed at was made.
    pub hit: bool,
    /// What the look at the command found, at its first exec; None where it did not
    /// run.
    pub command: Option<T>,
}

/// A program to run.
pub struct Subject<'a> {
    /// The words of the command line.
    pub words: &'a [OsString],
    /// The directory in which it runs.
    pub dir: &'a Path,
    /// The runtime's program: what has another one is the command, and left alone.
    pub exe: &'a Path,
    /// The calls to look at.
    pub known: &'a [Known],
}
