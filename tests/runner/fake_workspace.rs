//! A fake workspace, in which the runner's programs only print what they would do.

use assert_cmd::assert::{Assert, OutputAssertExt};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::test_dir::{TestDir, workspace};

/// A workspace with the real runner, and with a sudo, a fetch script and step programs
/// that only print their arguments.
pub struct FakeWorkspace {
    pub dir: TestDir,
}

impl FakeWorkspace {
    pub fn new() -> Self {
        let dir = TestDir::new();
        dir.write(
            "workspace/.cargo/runner",
            &fs::read_to_string(workspace().join(".cargo/runner")).unwrap(),
        );
        // The real one makes files read-only, so it wants a mount namespace.
        dir.write(
            "workspace/.cargo/sandbox",
            "#!/bin/sh\necho SANDBOX \"$@\" >&2\nexec \"$@\"\n",
        );
        // The runner's files must belong to the caller, so the caller may write here,
        // as at home.
        dir.write(
            "workspace/rootfs-fetch.sh",
            "#!/bin/sh\necho FETCH \"$@\" >&2\nmkdir \"$2\"\n",
        );
        fs::set_permissions(dir.path("workspace"), PermissionsExt::from_mode(0o777))
            .unwrap();
        dir.fake(
            "sudo",
            "echo \"SUDO $*\" >&2\nwhile :; do case $1 in -*) shift ;; *) exec \"$@\" ;; esac; done",
        );
        // The real one would refuse an ordinary user.
        let strip = "while :; do case $1 in --propagation) shift 2 ;; -*) shift ;; *) exec \"$@\" ;; esac; done";
        dir.fake("unshare", &format!("echo \"UNSHARE $*\" >&2\n{strip}"));
        FakeWorkspace { dir }
    }

    pub fn rootfs(&self) -> PathBuf {
        self.dir.path("workspace").canonicalize().unwrap().join("rootfs")
    }

    pub fn make_rootfs(&self) {
        fs::create_dir_all(self.rootfs()).unwrap();
    }

    /// Composes a command that runs as an ordinary user and without a terminal.
    pub fn command(&self, binary: &str, arguments: &[&str]) -> Command {
        self.dir.write(
            binary,
            "#!/bin/sh\nprintf %s \"${0##*/}\"; printf ' <%s>' \"$@\"; echo\n\
             env | grep -E '^(INSTA|KISTE)_' || :\nexit 7\n",
        );
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(self.dir.path("workspace/.cargo/runner"));
        command.arg(self.dir.path(binary)).args(arguments);
        command.current_dir(self.dir.temp.path()).env("PATH", self.dir.fakes_first());
        for variable in [
            "KISTE_SUDO",
            "KISTE_ROOTFS",
            "KISTE_CHECK",
            "KISTE_BIN",
            "KISTE_SKIP_LOG",
            "KISTE_SKIPPED",
        ] {
            command.env_remove(variable);
        }
        command.env_remove("INSTA_UPDATE").env_remove("INSTA_WORKSPACE_ROOT");
        if nix::unistd::geteuid().is_root() {
            command.uid(65534).gid(65534);
        }
        command
    }

    pub fn run(&self, binary: &str, arguments: &[&str]) -> Assert {
        self.command(binary, arguments).assert()
    }
}
