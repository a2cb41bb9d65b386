//! A host as distributions set it up: every mount is shared, so that a mount that leaks
//! out of a container is seen.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{Fixture, Ran, Running, host};

/// A mount namespace of the test's own in which every mount is shared, as on most
/// distributions (on the build machine they are private). A mount that leaks into this
/// namespace is seen by the test, and by nothing else.
pub struct Distribution {
    holder: Child,
}

impl Distribution {
    /// Makes the mount namespace, and a process that holds it.
    pub fn start() -> Self {
        // First private, then shared: the peer groups must not be those of the machine.
        let shared = "unshare --mount --propagation shared sh -c 'echo ready && exec sleep 1000'";
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .arg(format!("exec {shared}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start unshare, of util-linux");
        let mut ready = [0; 6];
        holder
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut ready)
            .expect("a mount namespace whose mounts are shared");
        Distribution { holder }
    }

    /// Returns the lines of its mountinfo.
    pub fn mounts(&self) -> Vec<String> {
        host::mounts_of(self.holder.id())
    }

    /// Runs a shell script on this host, asserts that it succeeds, and returns its
    /// output.
    #[track_caller]
    pub fn sh(&self, script: &str) -> String {
        let mut command = assert_cmd::Command::new("nsenter");
        let ran = Ran::of(
            command
                .args(self.enter_arguments(Path::new("/")))
                .args(["sh", "-c", script]),
        );
        ran.exits(0).out.trim_end().into()
    }

    /// Does the same as [`Fixture::run`], on this host.
    pub fn run(&self, fixture: &Fixture, options: &[&str], command: &[&str]) -> Ran {
        let arguments = fixture.arguments(options, command);
        let mut nsenter = assert_cmd::Command::new("nsenter");
        Ran::of(
            nsenter
                .args(self.enter_arguments(fixture.dir()))
                .arg(fixture.exe())
                .args(arguments),
        )
    }

    /// Does the same as [`Fixture::start`], on this host.
    pub fn start_in(
        &self,
        fixture: &Fixture,
        options: &[&str],
        command: &[&str],
    ) -> Running {
        let pid_file = fixture.dir().join(format!("pid-{}", host::unique()));
        let pid_option = ["--pid-file", pid_file.to_str().unwrap()];
        let mut arguments = self.enter_arguments(fixture.dir());
        arguments.push(fixture.exe().into());
        arguments.extend(fixture.arguments(&[&pid_option, options].concat(), command));
        Running::start(Path::new("nsenter"), fixture.dir(), &arguments, pid_file)
    }

    fn enter_arguments(&self, directory: &Path) -> Vec<OsString> {
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.holder.id());
        vec![
            namespace.into(),
            format!("--wd={}", directory.display()).into(),
            "--".into(),
        ]
    }
}

impl Drop for Distribution {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
