//! The build directory of mutants: a copy of the tree, with a target directory of its
//! own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use kiste_course::checkout;
use serde_json::Value;

use crate::mutant::Mutant;
use crate::plan::Subject;
use crate::selection::{Stage, Unit};

/// The directory `target/mutants`. There is only one copy of the tree, so only one run
/// at a time may use it.
pub struct BuildDir {
    dir: PathBuf,
    _lock: File,
}

impl BuildDir {
    /// Opens the directory, and creates it if it is missing.
    pub fn open() -> Result<Self> {
        let dir = std::env::current_dir()?.join("target/mutants");
        fs::create_dir_all(dir.join("generated"))?;
        let lock = File::create(dir.join("lock"))?;
        lock.try_lock()
            .with_context(|| format!("another run is using {}", dir.display()))?;
        let _ = fs::remove_dir_all(dir.join("generated/built")); // left by an interrupted run
        Ok(BuildDir { dir, _lock: lock })
    }

    /// Returns the subdirectory for generated mutants.
    pub fn dir(&self) -> PathBuf {
        self.dir.join("generated")
    }

    fn tree(&self) -> PathBuf {
        self.dir.join("tree")
    }

    /// Brings the copy up to date.
    pub fn refresh(&self) -> Result<()> {
        let parts = ["Cargo.toml", "Cargo.lock", "book/preprocessor", "steps", "tests"];
        for file in checkout::files(&parts).context("git ls-files")? {
            checkout::refresh(&file, &self.tree())?;
        }
        Ok(())
    }

    /// Builds a mutant. None if it does not compile.
    pub fn build(&self, stage: &Stage, mutant: &Mutant) -> Result<Option<Subject>> {
        let file = self.tree().join(&mutant.file);
        let original = fs::read_to_string(&file)?;
        fs::write(&file, mutant.apply(&original)?)?;
        let built = self.build_tree(stage);
        fs::write(&file, original)?;
        built
    }

    /// Builds the copy as it is now: the program, and the library's unit tests.
    pub fn build_tree(&self, stage: &Stage) -> Result<Option<Subject>> {
        let mut unit = None;
        if stage.unit == Unit::Tests {
            let Some(tests) =
                self.cargo(&["test", "--lib", "--no-run", "-p", &package(stage.name)])?
            else {
                return Ok(None);
            };
            unit = Some(self.copy_out(&tests)?);
        }
        let Some(program) =
            self.cargo(&["build", "-p", &package(stage.by), "--bin", stage.by])?
        else {
            return Ok(None);
        };
        Ok(Some(Subject { program: self.copy_out(&program)?, unit, order: Vec::new() }))
    }

    /// Copies a program, since the next build would overwrite it.
    fn copy_out(&self, built: &Path) -> Result<PathBuf> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let dir = self.dir().join("built");
        fs::create_dir_all(&dir)?;
        let name = built.file_name().expect("a program has a name").to_string_lossy();
        let copy = dir.join(format!("{}-{name}", NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::copy(built, &copy).with_context(|| format!("copy {}", built.display()))?;
        Ok(copy)
    }

    /// Returns the program that cargo builds. None if something does not compile.
    fn cargo(&self, arguments: &[&str]) -> Result<Option<PathBuf>> {
        let output = Command::new("cargo")
            .args(arguments)
            .args(["--message-format=json", "--locked"])
            .current_dir(self.tree())
            .env("CARGO_TARGET_DIR", self.dir.join("target"))
            .envs([
                ("RUSTFLAGS", "-Awarnings"),
                ("CARGO_PROFILE_DEV_DEBUG", "none"),
                ("CARGO_INCREMENTAL", "1"),
            ])
            .stderr(Stdio::piped())
            .output()
            .context("run cargo")?;
        let messages: Vec<Value> = String::from_utf8(output.stdout)?
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        if !output.status.success() {
            if messages.iter().any(|it| it["message"]["level"] == "error") {
                return Ok(None);
            }
            bail!(
                "cargo {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let built = messages
            .iter()
            .find_map(|it| it["executable"].as_str())
            .context("cargo built nothing")?;
        Ok(Some(built.into()))
    }
}

/// Returns a step's package: `step-05-cgroups`.
pub fn package(step: &str) -> String {
    format!("step-{step}")
}
