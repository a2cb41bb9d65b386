//! Boots the virtual machine, and reads its messages.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::ledger::Verdict;
use crate::plan::{Message, Outcome, Plan, Subject, Until};
use crate::suite::Suite;

/// The number of machines that run at the same time. Each has one processor. A build
/// takes little time in comparison.
pub const MACHINES: usize = 2;

/// A machine in which subjects are tested by a suite.
pub struct Machine<'s> {
    plan: PathBuf,
    suite: &'s Suite,
}

/// The result of a subject's tests.
#[derive(Clone)]
pub struct End {
    /// The verdict.
    pub verdict: Verdict,
    /// The test that caught it.
    pub check: Option<usize>,
    /// The name of that test.
    pub by: String,
    /// The message of that test's panic.
    pub message: String,
}

/// The seconds after which a boot ends. Subjects that are not tested by then get
/// another boot.
const BOOT: &str = "3600";

/// The seconds that tests wait for a program that hangs: long for one program, short
/// for a thousand mutants.
pub const PATIENCE: &str = "15";

impl<'s> Machine<'s> {
    /// Creates one of [`MACHINES`], whose plan is written into this directory.
    pub fn numbered(number: usize, dir: &Path, suite: &'s Suite) -> Self {
        Machine { plan: dir.join(format!("plan-{number}.json")), suite }
    }

    /// Tests all subjects, in as many boots as that takes. Returns the number and the
    /// end of each.
    pub fn test_all(&self, subjects: &[Subject]) -> Result<Vec<(usize, End)>> {
        let mut ends = Vec::new();
        let mut untested: Vec<usize> = (0..subjects.len()).collect();
        let mut retry_alone = None;
        while !untested.is_empty() {
            let turn =
                retry_alone.take().map_or_else(|| untested.clone(), |nth| vec![nth]);
            let batch: Vec<_> = turn.iter().map(|nth| subjects[*nth].clone()).collect();
            let mut progress = Progress {
                suite: self.suite,
                begun: None,
                end: End::survived(),
                done: 0,
            };
            self.boot(&batch, Until::Caught, |word| {
                ends.extend(progress.handle(word).map(|(nth, end)| (turn[nth], end)));
            })?;
            let Progress { begun, done, .. } = progress;
            untested.retain(|nth| !turn[..done].contains(nth));
            match begun {
                // The machine died. An earlier subject of the batch may be the cause.
                Some(nth) if turn.len() > 1 => retry_alone = Some(turn[nth]),
                Some(nth) => {
                    untested.retain(|it| *it != turn[nth]);
                    ends.push((turn[nth], End::machine_died()));
                }
                None => ensure!(done > 0, "the machine does not start"),
            }
        }
        Ok(ends)
    }

    /// Runs these tests with the original program, and records which of them pass. A
    /// test that fails with the original has not caught a mutant.
    pub fn run_unmutated(&self, checks: Vec<usize>) -> Result<()> {
        if checks.is_empty() {
            return Ok(());
        }
        let original = Subject { order: checks, ..self.suite.original.clone() };
        let mut ended = false;
        self.boot(&[original], Until::End, |word| match word {
            Message::Checked { check, outcome, message, .. } => {
                self.suite.record_unmutated(check, outcome, &message)
            }
            Message::End(_) => ended = true,
            _ => {}
        })?;
        ensure!(ended, "the machine died with the unchanged program");
        Ok(())
    }

    /// Boots the machine once, and handles its messages.
    fn boot(
        &self,
        subjects: &[Subject],
        until: Until,
        mut handle: impl FnMut(Message),
    ) -> Result<()> {
        let (program_path, checks) =
            (self.suite.program_path.clone(), self.suite.checks());
        fs::write(
            &self.plan,
            serde_json::to_vec(&Plan {
                subjects: subjects.to_vec(),
                program_path,
                checks,
                until,
            })?,
        )?;
        let top = std::env::current_dir()?;
        let rootfs = std::env::var_os("KISTE_ROOTFS")
            .map_or_else(|| top.join("rootfs"), PathBuf::from);
        // The machine ends with this process, even if this process is killed.
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
            if let Message::Checked {
                check, outcome: Outcome::Passed, seconds, ..
            } = word
            {
                self.suite.passed(check, seconds);
            }
            handle(word);
        }
        let status = vm.wait()?;
        // 124 and 125: the machine was too slow, or died.
        ensure!(matches!(status.code(), Some(0 | 124 | 125)), "tests/vm/run: {status}");
        Ok(())
    }
}

/// The state of the tests in one boot.
struct Progress<'s> {
    suite: &'s Suite,
    /// The subject whose tests have begun and not ended.
    begun: Option<usize>,
    end: End,
    done: usize,
}

impl Progress<'_> {
    /// Handles a message. Returns the number and the end of a subject that is done.
    fn handle(&mut self, word: Message) -> Option<(usize, End)> {
        match word {
            Message::Begin(nth) => {
                (self.begun, self.end) = (Some(nth), End::survived())
            }
            Message::Checked {
                outcome: Outcome::Passed | Outcome::Skipped, ..
            } => {}
            Message::Checked { check, outcome, message, .. } => {
                let verdict = if outcome == Outcome::TimedOut {
                    Verdict::TimedOut
                } else {
                    Verdict::Caught
                };
                self.end = End {
                    verdict,
                    check: Some(check),
                    by: self.suite.name(check).into(),
                    message,
                };
            }
            Message::End(nth) => {
                self.begun = None;
                self.done += 1;
                return Some((nth, self.end.clone()));
            }
            Message::Changed(what) => {
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
            message: String::new(),
        }
    }

    fn machine_died() -> Self {
        let by = "the machine, which died".into();
        End { verdict: Verdict::Caught, check: None, by, message: String::new() }
    }
}
