//! The plan for the machine, and the machine's messages.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// The work of one boot.
#[derive(Serialize, Deserialize)]
pub struct Plan {
    /// The programs to be tested.
    pub subjects: Vec<Subject>,
    /// The path of the program that the tests run.
    pub program_path: PathBuf,
    /// The tests.
    pub checks: Vec<Check>,
    /// When the tests of a subject stop.
    pub until: Until,
}

/// When the tests of a subject stop.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Until {
    /// After a test has failed.
    Caught,
    /// After all tests, for the original.
    End,
}

/// A built tree, mutated or not.
#[derive(Clone, Serialize, Deserialize)]
pub struct Subject {
    /// The program.
    pub program: PathBuf,
    /// The library's own tests.
    pub unit: Option<PathBuf>,
    /// The numbers of the plan's tests to run, in order.
    pub order: Vec<usize>,
}

/// A test.
#[derive(Clone, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// The program that contains it. None for all unit tests of the library.
    pub binary: Option<PathBuf>,
    /// The package's directory, where cargo would run it.
    pub dir: PathBuf,
    /// The time that it took when it last passed, in seconds.
    pub seconds: Option<f64>,
}

impl Check {
    /// Returns the timeout in seconds: long enough for a busy host, and short enough
    /// for a mutant that hangs.
    pub fn limit(&self) -> u64 {
        30 + (4.0 * self.seconds.unwrap_or(20.0)) as u64
    }
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It skipped itself, since the machine lacks something.
    Skipped,
    /// It failed.
    Failed,
    /// It took too long.
    TimedOut,
}

/// A message of the machine, on a line of its own.
#[derive(Serialize, Deserialize)]
pub enum Message {
    /// The tests of this subject begin.
    Begin(usize),
    /// A test has ended.
    Checked {
        /// The number of the test.
        check: usize,
        /// Its outcome.
        outcome: Outcome,
        /// Its duration.
        seconds: f64,
        /// The message of its panic.
        message: String,
    },
    /// The tests of this subject have ended.
    End(usize),
    /// The machine is no longer the same: this has changed.
    Changed(String),
}

impl Subject {
    /// Returns the files of the build.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.program].into_iter().chain(&self.unit)
    }

    /// Removes its files.
    ///
    /// # Errors
    /// When unlink(2) fails.
    pub fn remove(&self) -> Result<()> {
        self.files().try_for_each(|file| Ok(fs::remove_file(file)?))
    }
}
