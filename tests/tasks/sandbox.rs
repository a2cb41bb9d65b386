//! The sandbox in which answers are tested. A wrong answer runs as root and may do
//! anything, so it runs in namespaces of its own, where the files of this machine are
//! read-only.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use kiste_course::tasks::Task;
use kiste_tests::{host, rootfs};
use tempfile::TempDir;

use crate::table::Judgement;
use crate::working_copy::WorkingCopy;

/// The directory for the tests' temporary files, and the state of the machine before
/// the tests.
pub struct Sandbox {
    dir: TempDir,
    before: Vec<String>,
}

/// The result of a check.
pub struct Ran {
    pub output: String,
    pub code: i32,
    pub seconds: f32,
    /// The processes that are left after the check.
    pub left: Option<String>,
}

impl Sandbox {
    pub fn open() -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "not root\nhint: tests/tasks/run as root"
        );
        let dir = tempfile::Builder::new().prefix("kiste-tasks-").tempdir()?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777))?;
        Ok(Sandbox { dir, before: machine_state() })
    }

    /// Returns whether this machine lacks something that the tests of a task need.
    pub fn lacks(&self, task: &Task) -> bool {
        let only_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        task.needs.as_deref() == Some("cgroup-v2") && !only_v2
    }

    /// Runs the check of a task with the command that a reader types.
    pub fn check(&self, copy: &WorkingCopy, step: &str, task: &Task) -> Result<Ran> {
        let words = ["cargo", "workshop", "check", &task.number].map(String::from);
        self.start(copy.cargo(), step, &words)
    }

    /// Runs the command that a check runs. The first of the `words` is cargo's runner.
    pub fn run(&self, step: &str, words: &[String]) -> Result<Ran> {
        let mut command = Command::new("true");
        command.env("KISTE_CHECK", &step[..2]);
        // A wrong answer may hang. This timeout is shorter than the default, which is
        // long enough for a busy machine.
        command.env("KISTE_PATIENCE", "5");
        self.start(command, step, words)
    }

    fn start(&self, environment: Command, step: &str, words: &[String]) -> Result<Ran> {
        let start = Instant::now();
        let top = std::env::current_dir()?.join("target/tasks");
        let cgroups_before = cgroups()?;
        let mut command = in_namespaces();
        command
            .args([self.dir.path(), &top])
            .arg(step)
            .args(words)
            .stdin(Stdio::null())
            .env("TMPDIR", self.dir.path())
            .env("KISTE_ROOTFS", rootfs::original())
            .envs([("INSTA_UPDATE", "no"), ("RUST_BACKTRACE", "0")])
            .env_remove("KISTE_SUDO");
        for (name, value) in environment.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let output =
            command.output().context("run setpriv and unshare, of util-linux")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        let left = text.lines().find_map(|line| line.strip_prefix("LEFT:"));
        let left = left.map(|left| left.trim().to_owned());
        let code = output.status.code().unwrap_or(-1);
        ensure!(code != 99, "the sandbox cannot be made:\n{text}");
        let leftover_cgroups =
            cgroups()?.into_iter().filter(|path| !cgroups_before.contains(path));
        leftover_cgroups
            .filter(|path| !belongs_to_another_test(path))
            .for_each(|path| remove_tree(&path));
        let now = machine_state();
        ensure!(
            now == self.before,
            "the answer has changed this machine: {now:?} was {:?}\n{text}",
            self.before
        );
        Ok(Ran { output: text, code, seconds: start.elapsed().as_secs_f32(), left })
    }
}

impl Ran {
    /// Judges a check of our own answer: the task must be green.
    pub fn judge_right(self, task: &Task) -> Judgement {
        let green = format!("task {} is green\n", task.number);
        match (self.left, self.code == 0 && self.output.contains(&green)) {
            (None, true) => Judgement::Good(format!("{} tests pass", task.tests.len())),
            (Some(left), _) => {
                Judgement::Bad(format!("processes are left: {left}"), self.output)
            }
            (None, false) => Judgement::Bad("the check fails".into(), self.output),
        }
    }
}

/// Composes a command that runs in new namespaces, so that an answer that forgets to
/// make one does not change this machine. The command is killed when this process ends.
fn in_namespaces() -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"])
        .args(["--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child"])
        .args(["--mount-proc", "bash", "tests/tasks/inside"]);
    command
}

/// Returns the state that a wrong answer could change, as texts. A mount is identified
/// by its id, its parent's id and its device, since the directory may be renamed.
fn machine_state() -> Vec<String> {
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

/// Returns the cgroups of tests, in all hierarchies.
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

/// Returns whether the cgroup belongs to a running test outside of our sandbox. Such a
/// test has a directory of the same name in the usual temporary directory.
fn belongs_to_another_test(cgroup: &Path) -> bool {
    let name = cgroup.file_name().unwrap_or_default();
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    entries.into_iter().any(|it| it.file_name().to_ascii_lowercase() == *name)
}

fn remove_tree(dir: &Path) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|it| it.path().is_dir()).for_each(|it| remove_tree(&it.path()));
    let _ = fs::remove_dir(dir);
}
