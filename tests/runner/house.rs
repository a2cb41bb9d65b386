//! A workspace in which the runner only tells what it would do.

use assert_cmd::assert::{Assert, OutputAssertExt};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::place::{Place, workspace};

/// A workspace with the real runner, and with a sudo, a fetch and binaries that only
/// tell of it.
pub struct House {
    pub place: Place,
}

impl House {
    pub fn new() -> Self {
        let place = Place::new();
        place.write(
            "house/.cargo/runner",
            &fs::read_to_string(workspace().join(".cargo/runner")).unwrap(),
        );
        // What it makes must be the caller's: the caller may write here, as at home.
        place.write(
            "house/rootfs-fetch.sh",
            "#!/bin/sh\necho FETCH \"$@\" >&2\nmkdir \"$2\"\n",
        );
        fs::set_permissions(place.path("house"), PermissionsExt::from_mode(0o777))
            .unwrap();
        place.fake(
            "sudo",
            "echo \"SUDO $*\" >&2\nwhile :; do case $1 in -*) shift ;; *) exec \"$@\" ;; esac; done",
        );
        // For real an ordinary user may not do it.
        let strip = "while :; do case $1 in --propagation) shift 2 ;; -*) shift ;; *) exec \"$@\" ;; esac; done";
        place.fake("unshare", &format!("echo \"UNSHARE $*\" >&2\n{strip}"));
        House { place }
    }

    pub fn rootfs(&self) -> PathBuf {
        self.place.path("house").canonicalize().unwrap().join("rootfs")
    }

    pub fn make_rootfs(&self) {
        fs::create_dir_all(self.rootfs()).unwrap();
    }

    /// As an ordinary user and without a terminal, also when the test has both.
    pub fn command(&self, binary: &str, arguments: &[&str]) -> Command {
        self.place.write(
            binary,
            "#!/bin/sh\nprintf %s \"${0##*/}\"; printf ' <%s>' \"$@\"; echo\n\
             env | grep -E '^(INSTA|KISTE)_' || :\nexit 7\n",
        );
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(self.place.path("house/.cargo/runner"));
        command.arg(self.place.path(binary)).args(arguments);
        command
            .current_dir(self.place.dir.path())
            .env("PATH", self.place.fakes_first());
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
