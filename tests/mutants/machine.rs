//! The virtual machine, from outside: boots it, and hears what it says.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::ledger::Verdict;
use crate::plan::{Outcome, Plan, Subject, Until, Word};
use crate::suite::Suite;

/// So many machines at once. One has one processor, and who builds for them has mostly
/// nothing to do.
pub const MACHINES: usize = 2;

/// Where subjects are tested by a suite.
pub struct Machine<'s> {
    plan: PathBuf,
    suite: &'s Suite,
}

/// What became of a subject.
#[derive(Clone)]
pub struct End {
    /// Whether it was caught.
    pub verdict: Verdict,
    /// By which test.
    pub check: Option<usize>,
    /// What that is called.
    pub by: String,
    /// What the test panicked with.
    pub said: String,
}

/// One boot is over after so many seconds; what it has not come to is for the next.
const BOOT: &str = "3600";

/// What hangs is waited for so many seconds by the tests: much for them, little for who
/// waits for a thousand mutants.
pub const PATIENCE: &str = "15";

impl<'s> Machine<'s> {
    /// One of [`MACHINES`]; its plan is written into this directory.
    pub fn numbered(number: usize, dir: &Path, suite: &'s Suite) -> Self {
        Machine { plan: dir.join(format!("plan-{number}.json")), suite }
    }

    /// Tests them all, in as many boots as that takes: which one came to what end.
    pub fn try_all(&self, subjects: &[Subject]) -> Result<Vec<(usize, End)>> {
        let mut ends = Vec::new();
        let mut left: Vec<usize> = (0..subjects.len()).collect();
        let mut alone = None;
        while !left.is_empty() {
            let turn = alone.take().map_or_else(|| left.clone(), |nth| vec![nth]);
            let these: Vec<_> = turn.iter().map(|nth| subjects[*nth].clone()).collect();
            let mut hearing = Hearing {
                suite: self.suite,
                begun: None,
                end: End::survived(),
                done: 0,
            };
            self.boot(&these, Until::Caught, |word| {
                ends.extend(hearing.hear(word).map(|(nth, end)| (turn[nth], end)));
            })?;
            let Hearing { begun, done, .. } = hearing;
            left.retain(|nth| !turn[..done].contains(nth));
            match begun {
                // It may be the one before that has done it.
                Some(nth) if turn.len() > 1 => alone = Some(turn[nth]),
                Some(nth) => {
                    left.retain(|it| *it != turn[nth]);
                    ends.push((turn[nth], End::of_the_machine()));
                }
                None => ensure!(done > 0, "the machine does not start"),
            }
        }
        Ok(ends)
    }

    /// Runs these tests with the original, and lets the suite learn which of them pass.
    /// Who has caught a mutant by a test that fails without it has caught nothing.
    pub fn prove(&self, checks: Vec<usize>) -> Result<()> {
        if checks.is_empty() {
            return Ok(());
        }
        let original = Subject { order: checks, ..self.suite.original.clone() };
        let mut ended = false;
        self.boot(&[original], Until::End, |word| match word {
            Word::Checked { check, outcome, said, .. } => {
                self.suite.learn(check, outcome, &said)
            }
            Word::End(_) => ended = true,
            _ => {}
        })?;
        ensure!(ended, "the machine died of the unchanged program");
        Ok(())
    }

    /// One boot.
    fn boot(
        &self,
        subjects: &[Subject],
        until: Until,
        mut hear: impl FnMut(Word),
    ) -> Result<()> {
        let (place, checks) = (self.suite.place.clone(), self.suite.checks());
        fs::write(
            &self.plan,
            serde_json::to_vec(&Plan {
                subjects: subjects.to_vec(),
                place,
                checks,
                until,
            })?,
        )?;
        let top = std::env::current_dir()?;
        let rootfs = std::env::var_os("KISTE_ROOTFS")
            .map_or_else(|| top.join("rootfs"), PathBuf::from);
        // It ends with us, whatever ends us.
        let mut vm = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "tests/vm/run", "--"])
            .arg(std::env::current_exe()?)
            .arg("--inside")
            .arg(&self.plan)
            .env("KISTE_ROOTFS", rootfs)
            .env("KISTE_VM_TIMEOUT", BOOT)
            .envs([
                ("KISTE_PATIENCE", PATIENCE),
                ("INSTA_UPDATE", "no"),
                ("RUST_BACKTRACE", "0"),
            ])
            .env("INSTA_WORKSPACE_ROOT", top)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("start tests/vm/run")?;
        for line in BufReader::new(vm.stdout.take().expect("it is a pipe")).lines() {
            let Ok(word) = serde_json::from_str(&line?) else { continue };
            if let Word::Checked { check, outcome: Outcome::Passed, seconds, .. } = word
            {
                self.suite.passed(check, seconds);
            }
            hear(word);
        }
        let status = vm.wait()?;
        // 124 and 125: the machine was too slow, or died.
        ensure!(matches!(status.code(), Some(0 | 124 | 125)), "tests/vm/run: {status}");
        Ok(())
    }
}

struct Hearing<'s> {
    suite: &'s Suite,
    begun: Option<usize>,
    end: End,
    done: usize,
}

impl Hearing<'_> {
    /// Whose end that is.
    fn hear(&mut self, word: Word) -> Option<(usize, End)> {
        match word {
            Word::Begin(nth) => (self.begun, self.end) = (Some(nth), End::survived()),
            Word::Checked { outcome: Outcome::Passed | Outcome::Skipped, .. } => {}
            Word::Checked { check, outcome, said, .. } => {
                let verdict = if outcome == Outcome::TimedOut {
                    Verdict::TimedOut
                } else {
                    Verdict::Caught
                };
                self.end = End {
                    verdict,
                    check: Some(check),
                    by: self.suite.name(check).into(),
                    said,
                };
            }
            Word::End(nth) => {
                self.begun = None;
                self.done += 1;
                return Some((nth, self.end.clone()));
            }
            Word::Changed(what) => {
                println!("a new boot, since the last one left {what}")
            }
        }
        None
    }
}

impl End {
    fn survived() -> Self {
        End {
            verdict: Verdict::Survived,
            check: None,
            by: String::new(),
            said: String::new(),
        }
    }

    fn of_the_machine() -> Self {
        let by = "the machine, which died".into();
        End { verdict: Verdict::Caught, check: None, by, said: String::new() }
    }
}
