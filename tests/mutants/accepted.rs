//! The survivors that need no test, and the reasons: the file `accepted`.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::mutant::Mutant;
use crate::selection::Step;

/// The names of the mutants in the file. The reasons are only for people.
pub struct Accepted {
    names: Vec<String>,
}

impl Accepted {
    /// Reads `tests/mutants/accepted`: `MUTANT @ REASON`.
    pub fn read() -> Result<Self> {
        let text = fs::read_to_string("tests/mutants/accepted")
            .context("tests/mutants/accepted")?;
        let mut names = Vec::new();
        for line in
            text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let (name, reason) = line.split_once(" @ ").unwrap_or((line, ""));
            ensure!(
                !reason.trim().is_empty(),
                "tests/mutants/accepted: no ` @ reason` in: {line}"
            );
            names.push(name.trim().into());
        }
        Ok(Accepted { names })
    }

    /// Returns whether the mutant is in the file.
    pub fn has(&self, mutant: &Mutant) -> bool {
        self.names.contains(&mutant.id())
    }

    /// Returns the accepted mutants of a step.
    pub fn of(&self, step: &Step) -> impl Iterator<Item = &String> {
        let directory = format!("steps/{}/", step.name);
        self.names.iter().filter(move |name| name.starts_with(&directory))
    }
}
