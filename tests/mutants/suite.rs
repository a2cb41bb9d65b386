//! By what a step's mutants are tested: those of its tests that pass in the machine without any change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::chosen::{Stage, Unit};
use crate::machine::{MACHINES, Machine, PATIENCE};
use crate::plan::{Check, Outcome, Subject, Until, Word};
use crate::workshop::{Workshop, package};

/// The tests of a stage.
#[derive(Serialize, Deserialize)]
pub struct Suite {
    /// Of what it was measured.
    digest: String,
    /// Which ones were asked for.
    tests: Tests,
    /// Where the tests look for the program.
    pub place: PathBuf,
    /// The tests.
    pub checks: Vec<Check>,
}

/// Which of a step's tests are used.
#[derive(clap::Args, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tests {
    /// Do without the tests that take longer than this in the machine: who survives waits for each
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    slow: u16,
    /// Only by tests that have this in their names: `--tests dns --tests 'unit tests'`
    #[arg(long = "tests", value_name = "WORD")]
    wanted: Vec<String>,
}

/// How long the library's own tests may take with the original, which count as one, in seconds.
const SLOW_UNIT_TESTS: f64 = 120.0;

impl Suite {
    /// The tests of a stage, as cargo builds them.
    pub fn built(stage: &Stage, tests: &Tests, workshop: &Workshop) -> Result<Self> {
        let directory =
            |step: &str| Ok::<_, anyhow::Error>(std::env::current_dir()?.join("steps").join(step));
        let mut checks = Vec::new();
        if stage.unit == Unit::Tests {
            let (name, dir) = ("unit tests".into(), directory(stage.name)?);
            checks.push(Check { name, binary: None, dir, seconds: SLOW_UNIT_TESTS });
        }
        let built = cargo_test(stage.by)?;
        // A step may have a second program, for its tests.
        let executable = |kind: &str, name: &str| {
            let is_it = |it: &&Value| it["target"]["kind"][0] == kind && it["target"]["name"] == name;
            Some(PathBuf::from(built.iter().find(is_it)?["executable"].as_str()?))
        };
        let place = executable("bin", stage.by).context("cargo built no program")?;
        // A copy: who works on the tests meanwhile builds them anew.
        let binary = workshop.dir().join(format!("tests-{}", stage.by));
        fs::copy(executable("test", &stage.by.replace('-', "_")).context("cargo built no tests")?, &binary)?;
        for name in listed(&binary)? {
            checks.push(Check {
                name,
                binary: Some(binary.clone()),
                dir: directory(stage.by)?,
                seconds: tests.slow.into(),
            });
        }
        checks
            .retain(|check| tests.wanted.is_empty() || tests.wanted.iter().any(|it| check.name.contains(it)));
        Ok(Suite { digest: String::new(), tests: tests.clone(), place, checks })
    }

    /// Those that pass in the machine. What does not is printed. The step's tests are measured once, for
    /// all that is tried by them; the library's own each time.
    pub fn measured(mut self, stage: &Stage, original: &Subject, workshop: &Workshop) -> Result<Self> {
        let tests = self.checks.iter().find_map(|check| check.binary.as_ref());
        self.digest = digest([&original.program].into_iter().chain(tests))?;
        let file = workshop.dir().join(format!("suite-by-{}.json", stage.by));
        let known = fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Suite>(&text).ok());
        let known = known
            .filter(|known| (&known.digest, &known.tests) == (&self.digest, &self.tests))
            .map(|known| known.checks);
        let is_new = |nth: &usize| known.is_none() || self.checks[*nth].binary.is_none();
        let new: Vec<usize> = (0..self.checks.len()).filter(is_new).collect();
        let passed = self.measure(&new, &workshop.dir(), original)?;
        let (units, tests): (Vec<_>, Vec<_>) = passed.into_iter().partition(|check| check.binary.is_none());
        self.checks = known.unwrap_or(tests);
        fs::write(file, serde_json::to_vec(&self)?)?;
        self.checks.extend(units);
        Ok(self)
    }

    /// Runs these once, with as much else to do as when mutants are tested, and tells which pass.
    fn measure(&self, these: &[usize], dir: &Path, original: &Subject) -> Result<Vec<Check>> {
        let part = |number: usize| {
            let order: Vec<usize> = these.iter().copied().skip(number).step_by(MACHINES).collect();
            if order.is_empty() {
                return Ok(Vec::new());
            }
            self.measure_some(&Machine::numbered(number, dir, self), Subject { order, ..original.clone() })
        };
        let passed: Vec<Check> = thread::scope(|scope| {
            let parts: Vec<_> = (0..MACHINES).map(|number| scope.spawn(move || part(number))).collect();
            let parts =
                parts.into_iter().map(|part| part.join().map_err(|_| anyhow!("a thread panicked"))?);
            parts.collect::<Result<Vec<_>>>().map(|parts| parts.concat())
        })?;
        let all: f64 = passed.iter().map(|check| check.seconds).sum();
        println!("the tests of the original: {} of {} pass, in {all:.0} s", passed.len(), these.len());
        Ok(passed)
    }

    fn measure_some(&self, machine: &Machine, original: Subject) -> Result<Vec<Check>> {
        let mut passed = Vec::new();
        let mut ended = false;
        machine.boot(&[original], Until::End, |word| {
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
        Ok(passed)
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
