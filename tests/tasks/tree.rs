//! A copy of the workspace, `target/tasks/tree`, in which answers are built.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The copy. One run at a time may use it.
pub struct Tree {
    dir: PathBuf,
    /// A file that is not as it is in the workspace.
    changed: RefCell<Option<PathBuf>>,
    _lock: File,
}

/// What cargo has built.
pub struct Built {
    /// The program of the step's tests.
    pub test: PathBuf,
    /// How long it took.
    pub seconds: f32,
}

impl Tree {
    /// Makes the copy where it is missing, and brings it up to date. A file's time of
    /// change stays where its text stays, or cargo would build everything anew.
    pub fn open() -> Result<Self> {
        let dir = std::env::current_dir()?.join("target/tasks");
        fs::create_dir_all(&dir)?;
        let lock = File::create(dir.join("lock"))?;
        lock.try_lock()
            .with_context(|| format!("another run is at work in {}", dir.display()))?;
        let tree = Tree { dir, changed: RefCell::default(), _lock: lock };
        let listed = Command::new("git")
            .args(["ls-files", "-co", "--exclude-standard"])
            .output()
            .context("run git")?;
        ensure!(listed.status.success(), "git does not list the files");
        let files = String::from_utf8(listed.stdout)?;
        // Cargo reads the one of the workspace around the copy, and would join the lists
        // of both: each check would have its options twice.
        let config = Path::new(".cargo/config.toml");
        let _ = fs::remove_file(tree.top().join(config));
        let files = files.lines().map(Path::new);
        for file in files.filter(|file| file.is_file() && *file != config) {
            tree.refresh(file)?;
        }
        Ok(tree)
    }

    /// Its top.
    pub fn top(&self) -> PathBuf {
        self.dir.join("tree")
    }

    /// The directory around it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn refresh(&self, file: &Path) -> Result<()> {
        let (text, copy) = (fs::read(file)?, self.top().join(file));
        if fs::read(&copy).ok().as_ref() != Some(&text) {
            fs::create_dir_all(copy.parent().expect("a file is in a directory"))?;
            fs::write(&copy, text)?;
            // The runner is a program.
            fs::set_permissions(&copy, fs::metadata(file)?.permissions())?;
        }
        Ok(())
    }

    /// Changes a file.
    pub fn change(&self, file: &Path, text: &str) -> Result<()> {
        *self.changed.borrow_mut() = Some(file.into());
        fs::write(self.top().join(file), text).context("change the copy")
    }

    /// Takes the change back.
    pub fn restore(&self) -> Result<()> {
        let changed = self.changed.borrow_mut().take();
        changed.map_or(Ok(()), |file| self.refresh(&file))
    }

    /// Cargo, in the copy. Debug information is what takes the linker longest.
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
        let told: Vec<_> = messages
            .iter()
            .filter_map(|it| it["message"]["rendered"].as_str())
            .collect();
        ensure!(
            output.status.success(),
            "it does not compile:\n{}{}",
            told.join("\n"),
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
