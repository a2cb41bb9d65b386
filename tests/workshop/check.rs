//! Runs the tests of tasks.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use kiste_tests::tasks::{Outcome, Task};
use serde_json::Value;

use crate::results::{self, Results};
use crate::selection::Selection;
use crate::workspace::Workspace;

/// How long a program may take before it counts as hung, in seconds.
const PATIENCE: &str = "20";

/// The tests of one chapter's tasks.
pub struct Check<'w> {
    workspace: &'w Workspace,
    step: String,
    tasks: Vec<Task>,
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
    pub verdict: Verdict,
}

/// The result of the build and of the tests.
pub enum Verdict {
    /// The source does not compile: the first error, and how many there are.
    DoesNotCompile(String, usize),
    /// The tests were run.
    Ran(Outcome),
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
            ensure!(path.is_file(), "{}: there is no such program", path.display());
            Ok(path)
        });
        Ok(Check { workspace, step, tasks, program: program.transpose()? })
    }

    /// Builds the step and runs the tests. The results are noted.
    ///
    /// # Errors
    /// When cargo or the tests cannot be started.
    pub fn run(self) -> Result<Checked> {
        // A file that changes during the check is not checked.
        let digest = results::digest(self.workspace.root(), &self.step)?;
        let verdict = match self.build()? {
            Err((first, count)) => Verdict::DoesNotCompile(first, count),
            Ok(tests) => Verdict::Ran(self.run_tests(&tests)?),
        };
        let is_source = self.program.is_none();
        let mut results = Results::read(self.workspace.root());
        for task in self.tasks.iter().filter(|_| is_source) {
            let is_green =
                matches!(&verdict, Verdict::Ran(outcome) if outcome.is_green(task));
            results.note(&task.number, &digest, is_green)?;
        }
        Ok(Checked { step: self.step, tasks: self.tasks, is_source, verdict })
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

    /// Runs the tests as `cargo test` does: by the runner, which becomes root where the
    /// step needs it.
    fn run_tests(&self, tests: &Path) -> Result<Outcome> {
        let root = self.workspace.root();
        let mut runner = Command::new(root.join(".cargo/runner"));
        runner
            .current_dir(root.join("steps").join(&self.step))
            .arg(tests)
            .arg("--exact")
            .args(self.tasks.iter().flat_map(|task| &task.tests))
            .env("KISTE_CHECK", &self.step[..2])
            .env("RUST_BACKTRACE", "0")
            .stderr(Stdio::inherit());
        if std::env::var_os("KISTE_PATIENCE").is_none() {
            runner.env("KISTE_PATIENCE", PATIENCE);
        }
        if let Some(program) = &self.program {
            runner.env("KISTE_BIN", program);
        }
        let output = runner.output().context("start .cargo/runner")?;
        let outcome = Outcome::read(&String::from_utf8_lossy(&output.stdout));
        ensure!(
            !outcome.passed.is_empty() || !outcome.failed.is_empty(),
            "no test was run: {}",
            output.status
        );
        Ok(outcome)
    }
}
