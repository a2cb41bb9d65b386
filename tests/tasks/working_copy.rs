//! A copy of the workspace, `target/tasks/tree`, in which answers are built.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use kiste_course::checkout;
use serde_json::Value;

/// The copy. Only one run at a time may use it.
pub struct WorkingCopy {
    dir: PathBuf,
    /// The file that differs from the one in the workspace.
    changed: RefCell<Option<PathBuf>>,
    _lock: File,
}

/// A build of a step's tests.
pub struct Built {
    /// The executable of the step's tests.
    pub test: PathBuf,
    /// The duration of the build.
    pub seconds: f32,
}

impl WorkingCopy {
    /// Makes the copy if it is missing, and brings it up to date.
    pub fn open() -> Result<Self> {
        let dir = std::env::current_dir()?.join("target/tasks");
        fs::create_dir_all(&dir)?;
        let lock = File::create(dir.join("lock"))?;
        lock.try_lock()
            .with_context(|| format!("another run is using {}", dir.display()))?;
        let copy = WorkingCopy { dir, changed: RefCell::default(), _lock: lock };
        for file in checkout::files(&[]).context("git ls-files")? {
            checkout::refresh(&file, &copy.top())?;
        }
        Ok(copy)
    }

    /// Returns the top directory of the copied tree.
    pub fn top(&self) -> PathBuf {
        self.dir.join("tree")
    }

    /// Returns the directory that contains the copied tree and its target directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Changes a file of the copy.
    pub fn change(&self, file: &Path, text: &str) -> Result<()> {
        *self.changed.borrow_mut() = Some(file.into());
        fs::write(self.top().join(file), text).context("change the copy")
    }

    /// Undoes the change.
    pub fn restore(&self) -> Result<()> {
        let changed = self.changed.borrow_mut().take();
        changed.map_or(Ok(()), |file| Ok(checkout::refresh(&file, &self.top())?))
    }

    /// Composes a cargo command in the copy. Without debug information, linking is much
    /// faster.
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(self.top()).envs([
            ("CARGO_PROFILE_DEV_DEBUG", "none"),
            ("CARGO_INCREMENTAL", "1"),
            ("RUSTFLAGS", "-Awarnings"),
        ]);
        cargo.env("CARGO_TARGET_DIR", self.dir.join("target"));
        cargo
    }

    /// Builds the learner's command, as cargo does before it starts it.
    pub fn build_workshop(&self) -> Result<()> {
        let mut cargo = self.cargo();
        let status = cargo.args(["build", "-q", "-p", "kiste-workshop"]).status()?;
        ensure!(status.success(), "the learner's command does not compile");
        Ok(())
    }

    /// Builds the program of a step and its tests.
    pub fn build(&self, step: &str) -> Result<Built> {
        let start = Instant::now();
        let output = self
            .cargo()
            .args(["test", "--no-run", "--locked", "--message-format=json"])
            .args(["-p", &format!("step-{step}"), "--test", &step.replace('-', "_")])
            .stderr(Stdio::piped())
            .output()
            .context("run cargo")?;
        let text = String::from_utf8(output.stdout)?;
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        let messages: Vec<Value> = lines.collect();
        let errors: Vec<_> = messages
            .iter()
            .filter_map(|it| it["message"]["rendered"].as_str())
            .collect();
        ensure!(
            output.status.success(),
            "it does not compile:\n{}{}",
            errors.join("\n"),
            String::from_utf8_lossy(&output.stderr)
        );
        let test = messages
            .iter()
            .filter(|it| it["target"]["kind"][0] == "test")
            .find_map(|it| it["executable"].as_str())
            .context("cargo built no test")?;
        Ok(Built { test: test.into(), seconds: start.elapsed().as_secs_f32() })
    }
}
