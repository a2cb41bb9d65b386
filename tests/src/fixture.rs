//! The directory and the names on the host that a test does not share, and the check
//! that the test leaves nothing behind.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::{Ran, Running, Step, Terminal, host, rootfs};

/// The things that a test does not share: a directory, from step 4 on a root file
/// system, from step 5 on a run directory and a cgroup parent.
pub struct Fixture {
    step: Step,
    dir: TempDir,
    rootfs: OnceLock<PathBuf>,
    parent: String,
}

impl Fixture {
    /// Makes a fixture for this step's program. None if the host lacks something that the
    /// test needs.
    pub fn of(step: Step, needs: &[&str]) -> Option<Self> {
        if !step.has(needs) {
            return None;
        }
        let dir = tempfile::Builder::new()
            .prefix("kiste-test-")
            .tempdir()
            .expect("make a directory");
        let parent = dir.path().file_name().unwrap().to_string_lossy().to_lowercase();
        Some(Fixture { step, dir, rootfs: OnceLock::new(), parent })
    }

    /// Returns the step under test.
    pub fn step(&self) -> &Step {
        &self.step
    }

    /// Returns the path of the step's program.
    pub fn exe(&self) -> &Path {
        self.step.exe()
    }

    /// Returns the test's own directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the test's own root file system, made when it is first asked for. It has
    /// the same owner as the test's directory.
    pub fn rootfs(&self) -> &Path {
        self.rootfs.get_or_init(|| {
            let path = self.dir().join("rootfs");
            rootfs::copy(&rootfs::original(), &path);
            let owner = fs::metadata(self.dir()).unwrap();
            host::chown_recursive(&path, owner.uid(), owner.gid());
            path
        })
    }

    /// Copies a host program, with its libraries, to `/name` in the root file system.
    pub fn install(&self, program: &Path, name: &str) {
        rootfs::install(program, name, self.rootfs());
    }

    /// Returns the run directories of this test's containers.
    pub fn run_dirs(&self) -> PathBuf {
        self.dir().join("run")
    }

    /// Returns this test's own store of images, from step 7 on.
    pub fn store(&self) -> PathBuf {
        self.dir().join("store")
    }

    /// Returns the parent cgroup of this test's containers.
    pub fn cgroup_parent(&self) -> &str {
        &self.parent
    }

    /// Composes the arguments of `run`: the options that keep this test's containers
    /// apart, `options`, and the command.
    pub fn arguments(&self, options: &[&str], command: &[&str]) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["run".into()];
        let has = |option: &str| options.contains(&option);
        if self.step.number() >= 4 && !has("--rootfs") && !has("--image") {
            arguments.extend(["--rootfs".into(), self.rootfs().into()]);
        }
        if self.step.number() >= 7 && !has("--store") {
            arguments.extend(["--store".into(), self.store().into()]);
        }
        if self.step.number() >= 5 {
            arguments.extend(["--run-dir".into(), self.run_dirs().into()]);
            if !has("--cgroup-parent") {
                arguments
                    .extend(["--cgroup-parent".into(), self.parent.clone().into()]);
            }
        }
        arguments.extend(options.iter().map(OsString::from));
        arguments.extend(command.iter().map(OsString::from));
        arguments
    }

    /// Runs a command in a container and waits for its end.
    pub fn run(&self, options: &[&str], command: &[&str]) -> Ran {
        self.call(self.arguments(options, command))
    }

    /// Runs a shell script in a container and waits for its end.
    pub fn sh(&self, options: &[&str], script: &str) -> Ran {
        self.run(options, &["sh", "-c", script])
    }

    /// Runs the program with exactly these arguments.
    pub fn call(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
        Ran::of(
            assert_cmd::Command::new(self.exe())
                .current_dir(self.dir())
                .args(arguments),
        )
    }

    /// Runs a command in a container, with the step's program started by another one:
    /// `&["setpriv", "--reuid=65534"]`.
    pub fn run_under(
        &self,
        starter: &[&str],
        options: &[&str],
        command: &[&str],
    ) -> Ran {
        self.call_under(starter, self.arguments(options, command))
    }

    /// Runs the program with exactly these arguments, started by another program.
    pub fn call_under(
        &self,
        starter: &[&str],
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Ran {
        let mut command = assert_cmd::Command::new(starter[0]);
        Ran::of(
            command
                .args(&starter[1..])
                .arg(self.exe())
                .args(arguments)
                .current_dir(self.dir()),
        )
    }

    /// Runs the program with exactly these arguments as a user who is not root.
    pub fn call_as_nobody(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Ran {
        let copy = self.dir().join("program-of-nobody");
        host::copy_program(self.exe(), &copy);
        fs::set_permissions(self.dir(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = assert_cmd::Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(copy)
            .args(arguments);
        Ran::of(command.current_dir(self.dir()))
    }

    /// Runs a bash script on the host; the program is its `$0`.
    pub fn run_through_shell(&self, script: &str) -> Ran {
        self.call_under(&["bash", "-c", script], [""; 0])
    }

    /// Starts a container and returns once its command runs.
    pub fn start(&self, options: &[&str], command: &[&str]) -> Running {
        self.start_under(&[], options, command)
    }

    /// Starts a container, with the step's program started by another one that execs
    /// it: `&["nice"]`.
    pub fn start_under(
        &self,
        starter: &[&str],
        options: &[&str],
        command: &[&str],
    ) -> Running {
        let pid_file = self.dir().join(format!("pid-{}", host::unique()));
        let pid_option = ["--pid-file", pid_file.to_str().unwrap()];
        let mut words: Vec<OsString> = starter.iter().map(OsString::from).collect();
        words.push(self.exe().into());
        words.extend(self.arguments(&[&pid_option, options].concat(), command));
        Running::start(Path::new(&words[0]), self.dir(), &words[1..], pid_file)
    }

    /// Runs a command in a container, on a terminal.
    pub fn at_terminal(&self, options: &[&str], command: &[&str]) -> Terminal {
        Terminal::start(self.exe(), self.dir(), &self.arguments(options, command))
    }

    /// Lists what is left of this test's containers: cgroups, run directories, upper
    /// layers, mounts, processes.
    pub fn leaks(&self) -> Vec<String> {
        let mut leaks = host::cgroups_named(&self.parent);
        leaks.extend(
            fs::read_dir(self.run_dirs())
                .into_iter()
                .flatten()
                .map(|it| format!("{:?}", it.unwrap().path())),
        );
        leaks.extend(
            host::mounts()
                .into_iter()
                .filter(|line| line.contains(self.dir().to_str().unwrap())),
        );
        for name in ["containers", "tmp"] {
            let left = fs::read_dir(self.store().join(name)).into_iter().flatten();
            leaks.extend(left.map(|it| format!("{:?}", it.unwrap().path())));
        }
        let name = |pid| format!("{pid} ({})", host::status_field(pid, "Name"));
        leaks.extend(host::processes_at(self.dir()).into_iter().map(name));
        leaks
    }

    /// Ends the processes of this test, and removes its cgroups. They are not below its
    /// directory, so they would stay until the host restarts.
    fn remove_leaks(&self) {
        host::processes_of(self.dir()).into_iter().for_each(host::kill_tree);
        crate::eventually(|| host::remove_cgroups(&self.parent).is_ok().then_some(()));
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // A failed test leaves its containers behind, and nothing else would end them.
        if std::thread::panicking() {
            self.remove_leaks();
        }
        // The kernel removes some traces of a process only a moment after the process
        // has ended.
        let clean = crate::eventually(|| self.leaks().is_empty().then_some(()));
        if clean.is_none() && !std::thread::panicking() {
            let leaks = self.leaks();
            self.remove_leaks();
            panic!("left on the host: {leaks:#?}");
        }
        host::assert_dev_null_is_a_device();
    }
}

#[test]
fn a_failed_test_leaves_no_cgroup() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let parent = std::sync::Mutex::new(String::new());
    let failed = std::panic::catch_unwind(|| {
        let fixture = Fixture::of(Step::new("05-cgroups", "false"), &[]).unwrap();
        *parent.lock().unwrap() = fixture.parent.clone();
        for hierarchy in host::cgroup_mounts() {
            // The mount point of the hierarchies themselves may have none.
            let _ = fs::create_dir_all(hierarchy.join(&fixture.parent).join("below"));
        }
        assert!(!host::cgroups_named(&fixture.parent).is_empty());
        panic!("it is failed");
    });
    assert!(failed.is_err());
    let parent = parent.into_inner().unwrap();
    assert!(!parent.is_empty());
    assert_eq!(host::cgroups_named(&parent), [""; 0]);
}
