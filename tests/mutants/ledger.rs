//! The verdicts so far, on disk. After an interruption, the next run continues from
//! them.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::mutant::Mutant;
use crate::selection::Step;

/// The verdict on a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It does not compile.
    NotViable,
    /// A test failed.
    Caught,
    /// A test took too long.
    TimedOut,
    /// The step's own tests passed. The tests of the steps above are not run yet.
    SurvivedHere,
    /// A test of a step above failed.
    CaughtAbove,
    /// All tests passed.
    Survived,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
pub struct Entry {
    mutant: String,
    digest: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The test that has caught it.
    pub by: String,
    message: String,
}

/// The verdicts of a step, in `target/mutants/generated/STEP.jsonl`.
pub struct Ledger {
    file: File,
    entries: HashMap<(String, String), Entry>,
}

impl Ledger {
    /// Reads the file, if there is one.
    pub fn open(dir: PathBuf, step: &Step) -> Result<Self> {
        let path = dir.join(format!("{}.jsonl", step.name));
        let text = fs::read_to_string(&path).unwrap_or_default();
        let read =
            text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok()); // the last line may be cut
        let entries = read
            .map(|entry| ((entry.mutant.clone(), entry.digest.clone()), entry))
            .collect();
        let file = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Ledger {
            file: file.with_context(|| format!("open {}", path.display()))?,
            entries,
        })
    }

    /// Returns the entry of a mutant. None if the mutant was not tested since its file
    /// changed.
    pub fn of(&self, mutant: &Mutant) -> Option<&Entry> {
        self.entries.get(&key(mutant))
    }

    /// Forgets mutants with these verdicts, so that they are tested again.
    pub fn forget(&mut self, verdicts: &[Verdict]) {
        self.entries.retain(|_, entry| !verdicts.contains(&entry.verdict));
    }

    /// Returns the number of mutants that a test has caught, in all files and in this
    /// file.
    pub fn caught_by(&self, test: &str, file: &str) -> (usize, usize) {
        let is_in_file = |entry: &&Entry| entry.mutant.split(':').next() == Some(file);
        let caught = self.entries.values().filter(|entry| entry.by == test);
        (caught.clone().count(), caught.filter(is_in_file).count())
    }

    /// Records a verdict, and prints it.
    pub fn write(
        &mut self,
        mutant: &Mutant,
        verdict: Verdict,
        by: &str,
        message: &str,
    ) -> Result<()> {
        println!(
            "{:12} {mutant}{}{by}",
            format!("{verdict:?}"),
            if by.is_empty() { "" } else { ", by " }
        );
        let (id, digest) = key(mutant);
        let entry = Entry {
            mutant: id.clone(),
            digest: digest.clone(),
            verdict,
            by: by.into(),
            message: message.into(),
        };
        // A single write(2) for each line.
        let mut line = serde_json::to_string(&entry)?;
        line.push('\n');
        self.file.write_all(line.as_bytes())?;
        self.entries.insert((id, digest), entry);
        Ok(())
    }
}

fn key(mutant: &Mutant) -> (String, String) {
    (mutant.id(), mutant.digest.clone())
}
