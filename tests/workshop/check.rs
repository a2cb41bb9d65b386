//! Runs the tests of tasks.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use kiste_course::tasks::{Outcome, Sources, Task};
use serde_json::Value;
use test_summary::{Environment, summary};

use crate::results;
use crate::selection::Selection;
use crate::workspace::Workspace;

/// How long a program may take before it counts as hung, in seconds.
const PATIENCE: &str = "20";

/// The tests of one chapter's tasks.
pub struct Check<'w> {
    workspace: &'w Workspace,
    step: String,
    tasks: Vec<Task>,
    is_chapter: bool,
    /// Another program that is tested in place of the step's.
    program: Option<PathBuf>,
}

/// The result of a check.
pub struct Checked {
    /// The step: `02-pid`.
    pub step: String,
    /// The tasks that were checked.
    pub tasks: Vec<Task>,
    /// Whether it was the learner's source, and no other program.
    pub is_source: bool,
    /// The digest of the step's source.
    pub digest: String,
    /// The numbers of the tasks whose source still has a `todo!()`.
    pub to_do: Vec<String>,
    pub verdict: Verdict,
    /// The other tests of the step, which are run when all tasks of a chapter are green.
    pub others: Option<Others>,
}

/// The result of the build and of the tests.
pub enum Verdict {
    /// The source does not compile: the first error, and how many there are.
    DoesNotCompile(String, usize),
    /// The tests were run.
    Ran(Outcome),
}

/// The result of the tests of a step that check no task.
pub struct Others {
    pub outcome: Outcome,
    /// How many were skipped, and what would let them run.
    pub skipped: Option<String>,
}

impl Checked {
    /// Whether a task is done: its tests were run and passed, and no `todo!()` is left.
    pub fn is_green(&self, task: &Task) -> bool {
        let Verdict::Ran(outcome) = &self.verdict else { return false };
        outcome.is_green(task) && !self.to_do.contains(&task.number)
    }
}

impl<'w> Check<'w> {
    /// Prepares a check of a task or a chapter.
    ///
    /// # Errors
    /// When there is no such task, or no such program.
    pub fn new(
        workspace: &'w Workspace,
        what: &Selection,
        program: Option<&Path>,
    ) -> Result<Self> {
        let (step, tasks) = what.tasks()?;
        let program = program.map(|path| {
            let path = workspace.path(path);
            let is_program =
                path.is_file() && path.metadata()?.permissions().mode() & 0o111 != 0;
            ensure!(is_program, "{}: there is no such program", path.display());
            Ok(path)
        });
        let (is_chapter, program) = (!what.is_task(), program.transpose()?);
        Ok(Check { workspace, step, tasks, is_chapter, program })
    }

    /// Builds the step and runs the tests.
    ///
    /// # Errors
    /// When cargo or the tests cannot be started.
    pub fn run(self) -> Result<Checked> {
        // A file that changes during the check is not checked.
        let root = self.workspace.root();
        let (digest, to_do) = (results::digest(root, &self.step)?, self.to_do()?);
        let built = self.build()?;
        let verdict = match &built {
            Err((first, count)) => Verdict::DoesNotCompile(first.clone(), *count),
            Ok(tests) => Verdict::Ran(self.run_tests(tests)?),
        };
        let is_source = self.program.is_none();
        let Check { step, tasks, .. } = &self;
        let (step, tasks) = (step.clone(), tasks.clone());
        let mut checked =
            Checked { step, tasks, is_source, digest, to_do, verdict, others: None };
        let is_green = self.tasks.iter().all(|task| checked.is_green(task));
        if let Ok(tests) = built
            && self.is_chapter
            && is_green
        {
            checked.others = Some(self.run_other_tests(&tests)?);
        }
        Ok(checked)
    }

    /// Returns the tasks with a `todo!()`. Another program has none that can be seen.
    fn to_do(&self) -> Result<Vec<String>> {
        if self.program.is_some() {
            return Ok(Vec::new());
        }
        let root = self.workspace.root();
        let sources = Sources::below(root)?;
        let numbers = self.tasks.iter().map(|task| task.number.clone());
        let is_to_do = |it: &String| sources.find(it).is_ok_and(|it| it.is_to_do());
        Ok(numbers.filter(is_to_do).collect())
    }

    /// Builds the tests of the step, or returns the first error of the compiler.
    fn build(&self) -> Result<Result<PathBuf, (String, usize)>> {
        let target = self.step.replace('-', "_");
        let mut cargo =
            Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
                .args([
                    "test",
                    "--no-run",
                    "--message-format=json-diagnostic-rendered-ansi",
                ])
                .args(["-p", &format!("step-{}", self.step), "--test", &target])
                .stdout(Stdio::piped())
                .spawn()
                .context("start cargo")?;
        let (mut errors, mut tests) = (Vec::new(), None);
        let output = cargo.stdout.take().context("no output of cargo")?;
        for line in BufReader::new(output).lines() {
            let Ok(message) = serde_json::from_str::<Value>(&line?) else { continue };
            // The last one, "aborting due to …", is about no place.
            let is_somewhere =
                message["message"]["spans"].as_array().is_some_and(|it| !it.is_empty());
            if message["message"]["level"] == "error"
                && is_somewhere
                && let Some(text) = message["message"]["rendered"].as_str()
            {
                errors.push(text.trim_end().to_owned());
            }
            if message["target"]["name"] == *target
                && let Some(path) = message["executable"].as_str()
            {
                tests = Some(PathBuf::from(path));
            }
        }
        let status = cargo.wait()?;
        if let Some(first) = errors.first() {
            return Ok(Err((first.clone(), errors.len())));
        }
        ensure!(status.success(), "cargo cannot build step-{}", self.step);
        Ok(Ok(tests.context("cargo has built no tests")?))
    }

    /// Runs the tests of the tasks. None of them may be skipped.
    fn run_tests(&self, tests: &Path) -> Result<Outcome> {
        let mut runner = self.runner(tests);
        runner.args(self.tasks.iter().flat_map(|task| &task.tests));
        runner.stderr(Stdio::inherit());
        if std::env::var_os("KISTE_PATIENCE").is_none() {
            runner.env("KISTE_PATIENCE", PATIENCE);
        }
        let (status, output) = run_to_end(&mut runner)?;
        let outcome = Outcome::read(&output);
        ensure!(
            !outcome.passed.is_empty() || !outcome.failed.is_empty(),
            "no test was run: {status}"
        );
        ensure!(has_ended(status), "the tests were interrupted: {status}");
        Ok(outcome)
    }

    /// Runs the tests of the step that check no task.
    fn run_other_tests(&self, tests: &Path) -> Result<Others> {
        anstream::eprintln!(
            "the tasks are green; now the other tests of step-{}",
            self.step
        );
        let skipped = tempfile::NamedTempFile::new()?;
        let mut runner = self.runner(tests);
        for test in self.tasks.iter().flat_map(|task| &task.tests) {
            runner.args(["--skip", test]);
        }
        let errors = tempfile::tempfile()?;
        runner.env("KISTE_SKIP_LOG", skipped.path()).stderr(errors.try_clone()?);
        let (status, output) = run_to_end(&mut runner)?;
        let mut outcome = Outcome::read(&output);
        ensure!(
            has_ended(status),
            "the other tests of step-{} end with {status}:\n{}",
            self.step,
            text_of(errors)?
        );
        let log = fs::read_to_string(skipped.path())?;
        outcome.passed.retain(|test| !was_skipped(test, &log));
        let skipped = (!log.is_empty()).then(|| summary(&log, &Environment::here()));
        Ok(Others { outcome, skipped })
    }

    /// Starts tests as `cargo test` does: by the runner, which becomes root for a check of
    /// every step but 00. They write no file of the workspace.
    fn runner(&self, tests: &Path) -> Command {
        let root = self.workspace.root();
        let directory = root.join("steps").join(&self.step);
        let mut runner = Command::new(root.join(".cargo/runner"));
        runner.current_dir(&directory).arg(tests).arg("--exact");
        runner.env("CARGO_MANIFEST_DIR", directory);
        runner.env("KISTE_CHECK", &self.step[..2]);
        runner.envs([("RUST_BACKTRACE", "0"), ("INSTA_UPDATE", "no")]);
        if let Some(program) = &self.program {
            runner.env("KISTE_BIN", program);
        }
        runner
    }
}

/// Runs tests to their end, and returns what they have printed. They write into files: with
/// a pipe, they would die with this program, and leave their containers behind.
fn run_to_end(runner: &mut Command) -> Result<(ExitStatus, String)> {
    let output = tempfile::tempfile()?;
    let status = runner.stdout(output.try_clone()?).status();
    Ok((status.context("start .cargo/runner")?, text_of(output)?))
}

/// Whether the tests came to their end: all passed, or some failed.
fn has_ended(status: ExitStatus) -> bool {
    matches!(status.code(), Some(0 | 101))
}

/// Whether a test, or a part of it, is in a log of `skipped: BINARY TEST: reason` lines. To
/// libtest it has passed.
fn was_skipped(test: &str, log: &str) -> bool {
    log.lines().any(|line| line.contains(&format!(" {test}: ")))
}

fn text_of(mut file: File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[test]
fn a_skipped_test_is_found_in_the_log() {
    let log = "skipped: 05_cgroups told::a: root: uid 1000\n";
    assert!(was_skipped("told::a", log));
    assert!(!was_skipped("told::ab", log) && !was_skipped("a", log));
}
