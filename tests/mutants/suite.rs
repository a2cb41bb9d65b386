//! By what a step's mutants are tested: those of its tests that pass in the machine without any change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::chosen::{Stage, Unit};
use crate::machine::{Machine, PATIENCE};
use crate::plan::{Check, Outcome, Subject, Until, Word};
use crate::workshop::{Workshop, package};

/// The tests of a stage.
#[derive(Serialize, Deserialize)]
pub struct Suite {
    /// Of what it was measured.
    digest: String,
    /// Where the tests look for the program.
    pub place: PathBuf,
    /// The tests.
    pub checks: Vec<Check>,
}

/// What a test is thought to take before it is known, in seconds.
const LONG: f64 = 150.0;

impl Suite {
    /// All tests of a stage, as cargo builds them.
    pub fn built(stage: &Stage, workshop: &Workshop) -> Result<Self> {
        let directory =
            |step: &str| Ok::<_, anyhow::Error>(std::env::current_dir()?.join("steps").join(step));
        let mut checks = Vec::new();
        if stage.unit == Unit::Tests {
            let (name, dir) = ("unit tests".into(), directory(stage.name)?);
            checks.push(Check { name, binary: None, dir, seconds: LONG });
        }
        let built = cargo_test(stage.by)?;
        let of_kind = |kind: &str| built.iter().find(|it| it["target"]["kind"][0] == kind);
        let executable = |kind: &str| Some(PathBuf::from(of_kind(kind)?["executable"].as_str()?));
        let place = executable("bin").context("cargo built no program")?;
        // A copy: who works on the tests meanwhile builds them anew.
        let binary = workshop.dir().join(format!("tests-{}", stage.by));
        fs::copy(executable("test").context("cargo built no tests")?, &binary)?;
        for name in listed(&binary)? {
            checks.push(Check {
                name,
                binary: Some(binary.clone()),
                dir: directory(stage.by)?,
                seconds: LONG,
            });
        }
        Ok(Suite { digest: String::new(), place, checks })
    }

    /// Those that pass in the machine. What does not is printed.
    pub fn measured(mut self, stage: &Stage, original: &Subject, workshop: &Workshop) -> Result<Self> {
        let tests = self.checks.iter().find_map(|check| check.binary.as_ref());
        self.digest = digest(original.files().chain(tests))?;
        let file = workshop.dir().join(format!("suite-{}-by-{}.json", stage.name, stage.by));
        let known = fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Suite>(&text).ok());
        if let Some(known) = known.filter(|known| known.digest == self.digest) {
            return Ok(known);
        }
        self.measure(&Machine::new(workshop.dir(), &self), original)?;
        fs::write(file, serde_json::to_vec(&self)?)?;
        Ok(self)
    }

    /// Runs them all once, and keeps those that pass.
    fn measure(&mut self, machine: &Machine, original: &Subject) -> Result<()> {
        println!("the tests of the original, in the machine: {}", self.checks.len());
        let mut passed = Vec::new();
        let mut ended = false;
        machine.boot(std::slice::from_ref(original), Until::End, |word| {
            match word {
                Word::Checked { check, outcome: Outcome::Passed, seconds, .. } => {
                    passed.push(Check { seconds, ..self.checks[check].clone() });
                }
                Word::Checked { check, outcome, said, .. } => {
                    println!("not used, {outcome:?}: {}: {said}", self.checks[check].name);
                }
                Word::End(_) => ended = true,
                _ => {}
            }
            Ok(())
        })?;
        ensure!(ended, "the machine died of the unchanged program");
        let all: f64 = passed.iter().map(|check| check.seconds).sum();
        println!("{} of {} pass there, in {all:.0} s", passed.len(), self.checks.len());
        self.checks = passed;
        Ok(())
    }
}

fn cargo_test(step: &str) -> Result<Vec<Value>> {
    let output = Command::new("cargo")
        .args(["test", "--no-run", "-p", &package(step), "--test", &step.replace('-', "_")])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .context("run cargo")?;
    ensure!(output.status.success(), "the tests of {step} do not compile");
    let text = String::from_utf8(output.stdout)?;
    let artifacts = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(artifacts.filter(|it| it["executable"].is_string()).collect())
}

fn listed(binary: &Path) -> Result<Vec<String>> {
    let output = Command::new(binary).args(["--list", "--format", "terse"]).output().context("run a test")?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(String::from).collect())
}

fn digest<'f>(files: impl Iterator<Item = &'f PathBuf>) -> Result<String> {
    let mut all = Sha256::new_with_prefix(PATIENCE);
    for file in files {
        all.update(fs::read(file)?);
    }
    Ok(all.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
