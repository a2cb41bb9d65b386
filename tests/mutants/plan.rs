//! What is to be done in the machine, and what is told of it.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// What one boot is for.
#[derive(Serialize, Deserialize)]
pub struct Plan {
    /// What is tested.
    pub subjects: Vec<Subject>,
    /// Where the program is to be that the tests run.
    pub place: PathBuf,
    /// By what.
    pub checks: Vec<Check>,
    /// When to stop.
    pub until: Until,
}

/// When a subject has been tested enough.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Until {
    /// A test failed.
    Caught,
    /// All tests have run: this is the original.
    End,
}

/// A built tree, mutated or not.
#[derive(Clone, Serialize, Deserialize)]
pub struct Subject {
    /// The program.
    pub program: PathBuf,
    /// The library's own tests.
    pub unit: Option<PathBuf>,
    /// Which of the plan's tests, in which order.
    pub order: Vec<usize>,
}

/// One test.
#[derive(Clone, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// The program that has it; None: the library's own, all of them.
    pub binary: Option<PathBuf>,
    /// The package's directory, where cargo would run it.
    pub dir: PathBuf,
    /// How long it took the last time that it passed, in seconds.
    pub seconds: Option<f64>,
}

impl Check {
    /// How long it may take, in seconds. The host is busy at times; a mutant that hangs
    /// is to be caught this century all the same.
    pub fn limit(&self) -> u64 {
        30 + (4.0 * self.seconds.unwrap_or(20.0)) as u64
    }
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It said that something is missing here.
    Skipped,
    /// It failed.
    Failed,
    /// It took too long.
    TimedOut,
}

/// What comes out of the machine, a line each.
#[derive(Serialize, Deserialize)]
pub enum Word {
    /// This subject's turn.
    Begin(usize),
    /// A test has ended.
    Checked {
        /// Which one.
        check: usize,
        /// How.
        outcome: Outcome,
        /// After how many seconds.
        seconds: f64,
        /// What it panicked with.
        said: String,
    },
    /// This subject is done with.
    End(usize),
    /// The machine is no longer what it was.
    Changed(String),
}

impl Subject {
    /// What was built.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.program].into_iter().chain(&self.unit)
    }

    /// Removes it from the disk.
    ///
    /// # Errors
    /// What the kernel says of unlink(2).
    pub fn remove(&self) -> Result<()> {
        self.files().try_for_each(|file| Ok(fs::remove_file(file)?))
    }
}
