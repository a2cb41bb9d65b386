//! The tests of a step's mutants, and their history, by which the tests for the next
//! mutant are ordered.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::build_dir::{BuildDir, package};
use crate::ledger::Ledger;
use crate::machine::PATIENCE;
use crate::mutant::{Mutant, words};
use crate::plan::{Check, Outcome, Subject};
use crate::selection::{Stage, Unit};

/// The tests of a stage.
pub struct Suite {
    /// The path where the tests look for the program.
    pub program_path: PathBuf,
    /// The unchanged program.
    pub original: Subject,
    checks: Vec<Check>,
    tests: Tests,
    file: PathBuf,
    history: Mutex<History>,
}

/// Limits the tests that are used.
#[derive(clap::Args, Clone)]
pub struct Tests {
    /// Leave out tests that take longer than this in the machine: every survivor waits
    /// for each
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    slow: u16,
    /// Only this number of tests, the most likely to catch a mutant
    #[arg(long, value_name = "NUMBER")]
    most: Option<usize>,
}

/// The history of the tests, in `target/mutants/generated/tests-of-STEP-by-STEP.json`.
#[derive(Default, Serialize, Deserialize)]
struct History {
    /// The digest of the original program and of the tests. If it changes,
    /// `Known::passes` is no longer known.
    digest: String,
    /// By the name of a test.
    of: HashMap<String, Known>,
}

/// The history of a test.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Known {
    /// How long it took the last time that it passed.
    seconds: Option<f64>,
    /// Whether it passes in the machine with the original program. A skipped test does
    /// not pass.
    passes: Option<bool>,
}

/// The assumed duration of a test that has not passed yet, in seconds.
const DEFAULT_SECONDS: f64 = 5.0;

impl Suite {
    /// Builds the tests of a stage.
    pub fn built(
        stage: &Stage,
        tests: &Tests,
        original: Subject,
        build_dir: &BuildDir,
    ) -> Result<Self> {
        let directory = |step: &str| {
            Ok::<_, anyhow::Error>(std::env::current_dir()?.join("steps").join(step))
        };
        let artifacts = cargo_test(stage.by)?;
        // A step may have a second program, for its tests.
        let executable = |kind: &str, name: &str| {
            let is_it = |it: &&Value| {
                it["target"]["kind"][0] == kind && it["target"]["name"] == name
            };
            Some(PathBuf::from(artifacts.iter().find(is_it)?["executable"].as_str()?))
        };
        let program_path =
            executable("bin", stage.by).context("cargo built no program")?;
        // A copy, since another cargo may rebuild the tests meanwhile.
        let binary = build_dir.dir().join(format!("tests-{}", stage.by));
        fs::copy(
            executable("test", &stage.by.replace('-', "_"))
                .context("cargo built no tests")?,
            &binary,
        )?;

        let file = build_dir
            .dir()
            .join(format!("tests-of-{}-by-{}.json", stage.name, stage.by));
        let known = fs::read(&file)
            .ok()
            .and_then(|text| serde_json::from_slice::<History>(&text).ok());
        let mut history = known.unwrap_or_default();
        let digest = digest(original.files().chain([&binary]))?;
        if history.digest != digest {
            history.of.values_mut().for_each(|known| known.passes = None);
            history.digest = digest;
        }
        let check = |name: String, binary: Option<&PathBuf>, dir| {
            let seconds = history.of.get(&name).and_then(|known| known.seconds);
            Check { name, binary: binary.cloned(), dir, seconds }
        };
        let mut checks = Vec::new();
        if stage.unit == Unit::Tests {
            checks.push(check("unit tests".into(), None, directory(stage.name)?));
        }
        for name in listed(&binary)? {
            checks.push(check(name, Some(&binary), directory(stage.by)?));
        }
        let (tests, history) = (tests.clone(), Mutex::new(history));
        Ok(Suite { program_path, original, checks, tests, file, history })
    }

    /// Returns the tests, with the duration of each as it is known now.
    pub fn checks(&self) -> Vec<Check> {
        let history = self.history();
        let seconds =
            |check: &Check| history.of.get(&check.name).and_then(|known| known.seconds);
        self.checks
            .iter()
            .map(|check| Check { seconds: seconds(check), ..check.clone() })
            .collect()
    }

    /// Returns the tests for a mutant, in order. A test that has caught other mutants,
    /// above all of the same file, probably catches this one; so does a test with the
    /// words of its name. The quick ones among them come first.
    pub fn order(&self, ledger: &Ledger, mutant: &Mutant) -> Vec<usize> {
        let (history, words_of_mutant) = (self.history(), mutant.words());
        let known =
            |check: &Check| history.of.get(&check.name).copied().unwrap_or_default();
        let rate = |check: &Check| {
            let (all, same_file) = ledger.caught_by(&check.name, &mutant.file);
            let shared = words(&check.name)
                .filter(|word| words_of_mutant.contains(word))
                .count();
            // A single program runs all unit tests, which are the closest to the code.
            let unit_bonus = if check.binary.is_none() { 1000 } else { 1 };
            (unit_bonus + all + 10 * shared + 20 * same_file) as f64
                / known(check).seconds.unwrap_or(DEFAULT_SECONDS)
        };
        let is_used = |check: &Check| {
            let Known { seconds, passes } = known(check);
            let is_slow = check.binary.is_some()
                && seconds.is_some_and(|it| it > self.tests.slow.into());
            passes != Some(false) && !is_slow
        };
        let mut order: Vec<(usize, f64)> = self
            .checks
            .iter()
            .enumerate()
            .filter(|(_, it)| is_used(it))
            .map(|(nth, it)| (nth, rate(it)))
            .collect();
        order.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        order
            .into_iter()
            .map(|(nth, _)| nth)
            .take(self.tests.most.unwrap_or(usize::MAX))
            .collect()
    }

    /// Returns whether a test passes with the original program. None if that is not
    /// known.
    pub fn passes_unmutated(&self, check: usize) -> Option<bool> {
        self.history().of.get(&self.checks[check].name)?.passes
    }

    /// Records that a test has passed, with a mutant or with the original.
    pub fn passed(&self, check: usize, seconds: f64) {
        self.history().of.entry(self.checks[check].name.clone()).or_default().seconds =
            Some(seconds);
    }

    /// Records the outcome of a test with the original program. If it does not pass, it
    /// is no longer used.
    pub fn record_unmutated(&self, check: usize, outcome: Outcome, message: &str) {
        let name = &self.checks[check].name;
        if outcome != Outcome::Passed {
            println!(
                "no longer used, {outcome:?} with the unchanged program: {name}: {message}"
            );
        }
        self.history().of.entry(name.clone()).or_default().passes =
            Some(outcome == Outcome::Passed);
    }

    /// Writes the history to disk.
    pub fn save(&self) -> Result<()> {
        Ok(fs::write(&self.file, serde_json::to_vec(&*self.history())?)?)
    }

    /// Returns the name of a test.
    pub fn name(&self, check: usize) -> &str {
        &self.checks[check].name
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cargo_test(step: &str) -> Result<Vec<Value>> {
    let output = Command::new("cargo")
        .args([
            "test",
            "--no-run",
            "-p",
            &package(step),
            "--test",
            &step.replace('-', "_"),
        ])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .context("run cargo")?;
    ensure!(output.status.success(), "the tests of {step} do not compile");
    let text = String::from_utf8(output.stdout)?;
    let artifacts =
        text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(artifacts.filter(|it| it["executable"].is_string()).collect())
}

fn listed(binary: &Path) -> Result<Vec<String>> {
    let output = Command::new(binary)
        .args(["--list", "--format", "terse"])
        .output()
        .context("run a test")?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(String::from)
        .collect())
}

fn digest<'f>(files: impl Iterator<Item = &'f PathBuf>) -> Result<String> {
    let mut all = Sha256::new_with_prefix(PATIENCE);
    for file in files {
        all.update(fs::read(file)?);
    }
    Ok(all.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
