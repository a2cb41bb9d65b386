//! The results of earlier checks, in `.workshop/results`: one line for each task
//! that was green, with a digest of the step's source at that time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use kiste_course::checkout;
use sha2::{Digest, Sha256};

use crate::check::Checked;
use crate::files;

/// The results of earlier checks.
pub struct Results {
    path: PathBuf,
    /// The digests by the tasks' numbers.
    green: BTreeMap<String, String>,
}

impl Results {
    /// Reads the results, which are empty before the first check.
    pub fn read(workspace: &Path) -> Self {
        let path = workspace.join(".workshop/results");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let green = lines.map(|(task, digest)| (task.into(), digest.into())).collect();
        Results { path, green }
    }

    /// Returns the digest of the source for which this task was green.
    pub fn green_for(&self, task: &str) -> Option<&str> {
        self.green.get(task).map(String::as_str)
    }

    fn note(&mut self, task: &str, digest: &str, is_green: bool) {
        match is_green {
            true => self.green.insert(task.into(), digest.into()),
            false => self.green.remove(task),
        };
    }

    fn write(&self) -> Result<()> {
        let lines =
            self.green.iter().map(|(task, digest)| format!("{task} {digest}\n"));
        files::write(&self.path, &lines.collect::<String>())
    }
}

/// Notes the results of a check of the learner's source.
///
/// # Errors
/// When the file cannot be written.
pub fn note(workspace: &Path, checked: &Checked) -> Result<()> {
    if !checked.is_source {
        return Ok(());
    }
    let mut results = Results::read(workspace);
    for task in &checked.tasks {
        results.note(&task.number, &checked.digest, checked.is_green(task));
    }
    results.write()
}

/// Digests the source of a step: its answers may have changed since a check if this has.
///
/// # Errors
/// When a file cannot be read.
pub fn digest(workspace: &Path, step: &str) -> Result<String> {
    let mut digest = Sha256::new();
    for file in checkout::files_below(&workspace.join("steps").join(step).join("src"))?
    {
        digest.update(fs::read(file)?);
    }
    Ok(digest.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect())
}

#[test]
fn results_are_kept_and_a_red_one_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut results = Results::read(dir.path());
    results.note("2.4", "abc", true);
    results.note("2.3", "abc", true);
    results.note("2.3", "abd", false);
    results.write().unwrap();
    let again = Results::read(dir.path());
    assert_eq!((again.green_for("2.4"), again.green_for("2.3")), (Some("abc"), None));
}
