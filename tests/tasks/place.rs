//! Where answers are tried. A wrong one is run as root, and may do anything: so it runs
//! in namespaces of its own, and sees the files of this machine read-only.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use kiste_tests::tasks::Task;
use kiste_tests::{host, rootfs};
use tempfile::TempDir;

use crate::table::Cell;
use crate::tree::Tree;

/// The directory for the temporary files of the tests, and what the machine was like.
pub struct Place {
    dir: TempDir,
    before: Vec<String>,
}

/// What a check has printed.
pub struct Ran {
    pub output: String,
    pub code: i32,
    pub seconds: f32,
    /// The processes that are there when it has ended.
    pub left: Option<String>,
}

impl Place {
    pub fn open() -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "not root\nhint: tests/tasks/run as root"
        );
        let dir = tempfile::Builder::new().prefix("kiste-tasks-").tempdir()?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777))?;
        Ok(Place { dir, before: machine() })
    }

    /// Whether this machine cannot run the tests of a task.
    pub fn lacks(&self, task: &Task) -> bool {
        let only_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        task.needs.as_deref() == Some("cgroup-v2") && !only_v2
    }

    /// Runs a chapter's check as a person does, on these tasks.
    pub fn check(&self, tree: &Tree, step: &str, tasks: &[&Task]) -> Result<Ran> {
        tree.build(step)?;
        let mut words: Vec<String> =
            ["cargo", &format!("check-{}", &step[..2])].map(String::from).into();
        words.extend(["--", "--exact"].map(String::from));
        words.extend(tasks.iter().flat_map(|task| task.tests.iter().cloned()));
        self.start(tree.cargo(), step, &words)
    }

    /// Runs what cargo runs for a chapter's check: `words` begin with its runner.
    pub fn run(&self, step: &str, words: &[String]) -> Result<Ran> {
        let mut command = Command::new("true");
        command.env("KISTE_CHECK", &step[..2]);
        // A wrong answer may hang, and need not be waited for as long as a busy machine.
        command.env("KISTE_PATIENCE", "5");
        self.start(command, step, words)
    }

    fn start(&self, like: Command, step: &str, words: &[String]) -> Result<Ran> {
        let start = Instant::now();
        let top = std::env::current_dir()?.join("target/tasks");
        let cgroups_before = cgroups()?;
        let mut command = sandbox();
        command
            .args([self.dir.path(), &top])
            .arg(step)
            .args(words)
            .stdin(Stdio::null())
            .env("TMPDIR", self.dir.path())
            .env("KISTE_ROOTFS", rootfs::original())
            .envs([("INSTA_UPDATE", "no"), ("RUST_BACKTRACE", "0")])
            .env_remove("KISTE_SUDO");
        for (name, value) in like.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let output =
            command.output().context("run setpriv and unshare, of util-linux")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        let left = text.lines().find_map(|line| line.strip_prefix("LEFT:"));
        let left = left.map(|left| left.trim().to_owned());
        let code = output.status.code().unwrap_or(-1);
        ensure!(code != 99, "the place cannot be made:\n{text}");
        let ours = cgroups()?.into_iter().filter(|path| !cgroups_before.contains(path));
        ours.filter(|path| !is_anothers(path)).for_each(|path| remove_tree(&path));
        let now = machine();
        ensure!(
            now == self.before,
            "it has changed this machine: {now:?} was {:?}\n{text}",
            self.before
        );
        Ok(Ran { output: text, code, seconds: start.elapsed().as_secs_f32(), left })
    }
}

impl Ran {
    /// Whether the check is content with the tests of a task.
    pub fn is_right(&self, task: &Task) -> Cell {
        let passed =
            |test: &&String| self.output.contains(&format!("test {test} ... ok"));
        let passed = task.tests.iter().filter(passed).count();
        match (&self.left, passed == task.tests.len()) {
            (None, true) => Cell::Good(format!("{passed} tests pass")),
            (Some(left), _) => {
                Cell::Bad(format!("processes are left: {left}"), self.output.clone())
            }
            (_, false) => Cell::Bad("the check fails".into(), self.output.clone()),
        }
    }
}

/// Namespaces of every kind that a step makes and that a wrong answer may forget. They
/// end with us.
fn sandbox() -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"])
        .args(["--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child"])
        .args(["--mount-proc", "bash", "tests/tasks/inside"]);
    command
}

/// What a wrong answer could change, one text each. Of a mount its number, that of the
/// one it is on, and its device: somebody may rename the directory.
fn machine() -> Vec<String> {
    let null = fs::metadata("/dev/null").map(|it| it.rdev());
    let mut state = vec![format!("/dev/null: {null:?}")];
    for file in ["hostname", "domainname"] {
        let path = Path::new("/proc/sys/kernel").join(file);
        state.push(fs::read_to_string(path).unwrap_or_default());
    }
    let mounts = host::mounts();
    state.extend(
        mounts.iter().map(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" ")),
    );
    state
}

/// The cgroups of tests, in all hierarchies.
fn cgroups() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for mount in host::cgroup_mounts() {
        for entry in fs::read_dir(&mount)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("kiste-test-") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Whether a test that is not ours goes on in it: the directory of that name is outside
/// of our place.
fn is_anothers(cgroup: &Path) -> bool {
    let name = cgroup.file_name().unwrap_or_default();
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    entries.into_iter().any(|it| it.file_name().to_ascii_lowercase() == *name)
}

fn remove_tree(dir: &Path) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|it| it.path().is_dir()).for_each(|it| remove_tree(&it.path()));
    let _ = fs::remove_dir(dir);
}
