//! The virtual machine, from outside: boots it, and hears what it says.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::ledger::{Ledger, Verdict};
use crate::mutant::Mutant;
use crate::plan::{Check, Outcome, Plan, Subject, Until, Word};
use crate::suite::Suite;

/// So many machines at once. One has one processor, and who builds for them has mostly nothing to do.
pub const MACHINES: usize = 2;

/// Where subjects are tested by a suite.
pub struct Machine {
    plan: PathBuf,
    place: PathBuf,
    checks: Vec<Check>,
}

/// What became of a subject.
#[derive(Clone)]
pub struct End {
    /// Whether it was caught.
    pub verdict: Verdict,
    /// By which test.
    pub by: String,
    /// What the test panicked with.
    pub said: String,
}

/// One boot is over after so many seconds; what it has not come to is for the next.
const BOOT: &str = "3600";

/// What hangs is waited for so many seconds by the tests: much for them, little for who waits for a
/// thousand mutants.
pub const PATIENCE: &str = "15";

impl Machine {
    /// One of [`MACHINES`]; its plan is written into this directory.
    pub fn numbered(number: usize, dir: &Path, suite: &Suite) -> Self {
        Machine {
            plan: dir.join(format!("plan-{number}.json")),
            place: suite.place.clone(),
            checks: suite.checks.clone(),
        }
    }

    /// Tests them all, in as many boots as that takes, and tells the end of each when it is known.
    pub fn try_all(
        &self,
        subjects: &[Subject],
        mut tell: impl FnMut(usize, &End) -> Result<()>,
    ) -> Result<()> {
        let mut left: Vec<usize> = (0..subjects.len()).collect();
        let mut alone = None;
        while !left.is_empty() {
            let turn = alone.take().map_or_else(|| left.clone(), |nth| vec![nth]);
            let these: Vec<_> = turn.iter().map(|nth| subjects[*nth].clone()).collect();
            let mut hearing = Hearing { checks: &self.checks, begun: None, end: End::survived(), done: 0 };
            self.boot(&these, Until::Caught, |word| match hearing.hear(word) {
                Some((nth, end)) => tell(turn[nth], &end),
                None => Ok(()),
            })?;
            let Hearing { begun, done, .. } = hearing;
            left.retain(|nth| !turn[..done].contains(nth));
            match begun {
                // It may be the one before that has done it.
                Some(nth) if turn.len() > 1 => alone = Some(turn[nth]),
                Some(nth) => {
                    left.retain(|it| *it != turn[nth]);
                    tell(turn[nth], &End::of_the_machine())?;
                }
                None => ensure!(done > 0, "the machine does not start"),
            }
        }
        Ok(())
    }

    /// In which order a mutant is tested: what has caught others catches the next ones, too, those of the
    /// same file above all. First what does so in the least time.
    pub fn order(&self, ledger: &Ledger, mutant: &Mutant) -> Vec<usize> {
        let rate = |nth: &usize| {
            let check = &self.checks[*nth];
            let (all, same_file) = ledger.caught_by(&check.name, &mutant.file);
            // The library's own tests are many in one, and the nearest.
            let own = if check.binary.is_none() { 50 } else { 1 };
            (own + all + 20 * same_file) as f64 / check.seconds
        };
        let mut order: Vec<usize> = (0..self.checks.len()).collect();
        order.sort_by(|one, other| rate(other).total_cmp(&rate(one)));
        order
    }

    /// One boot.
    pub fn boot(
        &self,
        subjects: &[Subject],
        until: Until,
        mut hear: impl FnMut(Word) -> Result<()>,
    ) -> Result<()> {
        let (place, checks) = (self.place.clone(), self.checks.clone());
        fs::write(
            &self.plan,
            serde_json::to_vec(&Plan { subjects: subjects.to_vec(), place, checks, until })?,
        )?;
        let top = std::env::current_dir()?;
        let rootfs = std::env::var_os("KISTE_ROOTFS").map_or_else(|| top.join("rootfs"), PathBuf::from);
        // It ends with us, whatever ends us.
        let mut vm = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "tests/vm/run", "--"])
            .arg(std::env::current_exe()?)
            .arg("--inside")
            .arg(&self.plan)
            .env("KISTE_ROOTFS", rootfs)
            .env("KISTE_VM_TIMEOUT", BOOT)
            .envs([("KISTE_PATIENCE", PATIENCE), ("INSTA_UPDATE", "no"), ("RUST_BACKTRACE", "0")])
            .env("INSTA_WORKSPACE_ROOT", top)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("start tests/vm/run")?;
        let mut lines = BufReader::new(vm.stdout.take().expect("it is a pipe")).lines();
        let heard = lines.try_for_each(|line| serde_json::from_str(&line?).map_or(Ok(()), &mut hear));
        if heard.is_err() {
            vm.kill()?;
        }
        let status = vm.wait()?;
        heard?;
        // 124 and 125: the machine was too slow, or died.
        ensure!(matches!(status.code(), Some(0 | 124 | 125)), "tests/vm/run: {status}");
        Ok(())
    }
}

struct Hearing<'m> {
    checks: &'m [Check],
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
                let verdict = if outcome == Outcome::TimedOut { Verdict::TimedOut } else { Verdict::Caught };
                self.end = End { verdict, by: self.checks[check].name.clone(), said };
            }
            Word::End(nth) => {
                self.begun = None;
                self.done += 1;
                return Some((nth, self.end.clone()));
            }
            Word::Changed(what) => println!("a new boot, since the last one left {what}"),
        }
        None
    }
}

impl End {
    fn survived() -> Self {
        End { verdict: Verdict::Survived, by: String::new(), said: String::new() }
    }

    fn of_the_machine() -> Self {
        End { verdict: Verdict::Caught, by: "the machine, which died".into(), said: String::new() }
    }
}
