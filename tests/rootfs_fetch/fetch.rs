//! Runs `rootfs-fetch.sh` in a test's directory, with the tarballs and the fake
//! programs that it needs, and checks which files the directory has afterwards.

use assert_cmd::assert::OutputAssertExt;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::test_dir::{TestDir, workspace};

pub const OLDER_ALPINE: &str = "alpine-minirootfs-3.20.3-x86_64.tar.gz";
pub const OLDER_DIGEST: &str = "9d5405f61f8a6ebc02461ba75346fbf1a63a4eab8510a0158dd321cee0c4dafe28c2a3d2cb7c3d75e2a8130dae0c3c92382f5b6adeea309eafc97621c5bf6400";

impl TestDir {
    pub fn with_rootfs() -> Self {
        let dir = TestDir::new();
        dir.little_tarball("little.tar.gz");
        dir.fetch().args(["--from", "little.tar.gz"]).assert().success();
        dir
    }

    /// Makes a directory with a fake tar(1), which waits before it unpacks: it creates
    /// the file `started`, and continues when the FIFO `gate` is opened. The programs
    /// `absent` are not in PATH.
    pub fn with_gate(absent: &[&str]) -> Self {
        let dir = TestDir::new();
        dir.little_tarball("little.tar.gz");
        let path = dir.path_without(absent);
        nix::unistd::mkfifo(&dir.path("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        dir.fake(
            "tar",
            &format!(
                "case $1 in -x*) for tree; do :; done; echo half >\"$tree/half\"; : >started; cat gate ;; esac\n\
                 PATH={path} exec tar \"$@\""
            ),
        );
        dir
    }

    pub fn fetch(&self) -> Command {
        let mut command = Command::new("sh");
        command.arg(workspace().join("rootfs-fetch.sh")).args(["--dest", "rootfs"]);
        command.current_dir(self.temp.path()).env("PATH", self.fakes_first());
        for variable in
            ["KISTE_ALPINE", "KISTE_ALPINE_VERSION", "KISTE_MIRROR", "SUDO_UID"]
        {
            command.env_remove(variable);
        }
        command
    }

    /// Composes a command that fetches 3.20.3, which is pinned for x86_64 only, from
    /// the mirror in this directory.
    pub fn fetch_older_alpine(&self) -> Command {
        self.fake("uname", "echo x86_64");
        let mut command = self.fetch();
        command
            .env("KISTE_MIRROR", format!("file://{}", self.path("mirror").display()));
        command.env("KISTE_ALPINE_VERSION", "3.20.3").args(["--from", "alpine"]);
        command
    }

    /// Puts a tarball into the mirror in this directory, with the name of the older
    /// Alpine's tarball.
    pub fn put_in_mirror(&self, tarball: &[u8]) {
        let releases = self.path("mirror/v3.20/releases/x86_64");
        fs::create_dir_all(&releases).unwrap();
        fs::write(releases.join(OLDER_ALPINE), tarball).unwrap();
    }

    pub fn little_tarball(&self, name: &str) -> PathBuf {
        self.write("tree/bin/sh", "");
        self.write("tree/bin/ls", "");
        fs::create_dir_all(self.path("tree/tmp")).unwrap();
        fs::set_permissions(self.path("tree/tmp"), PermissionsExt::from_mode(0o1777))
            .unwrap();
        self.tar(&["-czf", name, "-C", "tree", "."]);
        self.path(name)
    }

    pub fn tar(&self, arguments: &[&str]) {
        Command::new("tar")
            .args(arguments)
            .current_dir(self.temp.path())
            .assert()
            .success();
    }

    /// Composes a command that uses this fake tar(1).
    pub fn gated_fetch(&self) -> Command {
        let path =
            format!("{}:{}", self.path("fakes").display(), self.path("path").display());
        let mut command = self.fetch();
        command.env("PATH", path).args(["--from", "little.tar.gz"]);
        command
    }

    pub fn start_and_wait_for_tar(&self) -> Running {
        let running = Running::start(self.gated_fetch().stderr(Stdio::null()));
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.path("started").exists() {
            assert!(Instant::now() < deadline, "tar was never called");
            std::thread::yield_now();
        }
        running
    }

    pub fn open_gate(&self) {
        fs::OpenOptions::new().write(true).open(self.path("gate")).unwrap();
    }

    pub fn assert_has(&self, names: &[&str]) {
        for name in names {
            let path = self.path("rootfs").join(name);
            assert!(path.symlink_metadata().is_ok(), "no {}", path.display());
        }
    }

    pub fn assert_nothing_else_left(&self, expected: &[&str]) {
        let entries = fs::read_dir(self.temp.path()).unwrap();
        for entry in
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap())
        {
            assert!(expected.contains(&entry.as_str()), "left behind: {entry}");
        }
    }
}

/// A running script with its children, all of which are killed when this is dropped.
pub struct Running {
    pub child: Child,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Running {
            child: command.process_group(0).stdout(Stdio::null()).spawn().unwrap(),
        }
    }

    pub fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(self.child.id().try_into().unwrap());
        killpg(group, signal).ok(); // all its processes may have ended already
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().ok();
    }
}

/// Returns the Alpine tarball in $KISTE_ALPINE, if there is one.
pub fn alpine() -> Option<PathBuf> {
    std::env::var_os("KISTE_ALPINE").filter(|path| !path.is_empty()).map(PathBuf::from)
}
