//! A container that runs while the test looks at it from outside.

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Ran, eventually, host, timeout};

/// A running container. When this is dropped, its command is killed.
pub struct Running {
    runtime: Child,
    /// The command's process id, as the host sees it.
    pub pid: i32,
}

impl Running {
    pub(crate) fn start(
        exe: &Path,
        dir: &Path,
        arguments: &[OsString],
        pid_file: PathBuf,
    ) -> Self {
        let mut runtime = Command::new(exe)
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the program");
        let pid = eventually(|| {
            let ended = runtime.try_wait().unwrap().is_some();
            let pid = fs::read_to_string(&pid_file)
                .ok()
                .and_then(|text| text.trim().parse().ok());
            ended.then_some(None).or(pid.map(Some))
        });
        let Some(Some(pid)) = pid else {
            host::kill_tree(runtime.id() as i32);
            let output = runtime.wait_with_output().unwrap();
            panic!(
                "the container does not start: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        };
        Running { runtime, pid }
    }

    /// Returns the process id of the runtime.
    pub fn runtime(&self) -> i32 {
        self.runtime.id() as i32
    }

    /// Sends the runtime a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.runtime()), signal).expect("send the runtime a signal");
    }

    /// Kills the runtime with SIGKILL. Does not kill the command.
    pub fn kill_runtime(mut self) {
        self.runtime.kill().expect("kill the runtime");
        self.runtime.wait().expect("wait for the runtime");
    }

    /// Writes to the command's stdin.
    pub fn type_in(&mut self, text: &str) {
        self.runtime
            .stdin
            .as_mut()
            .unwrap()
            .write_all(text.as_bytes())
            .expect("write to its stdin");
    }

    /// Reads the command's stdout until this text appears.
    pub fn wait_for(&mut self, text: &str) {
        let mut seen = Vec::new();
        let out = self.runtime.stdout.as_mut().unwrap();
        while !String::from_utf8_lossy(&seen).contains(text) {
            let mut byte = [0];
            let mut ready = [PollFd::new(out.as_fd(), PollFlags::POLLIN)];
            let limit = PollTimeout::try_from(timeout()).unwrap();
            assert_ne!(
                poll(&mut ready, limit),
                Ok(0),
                "expected {text:?} on stdout, which is: {:?}",
                String::from_utf8_lossy(&seen)
            );
            assert_eq!(
                out.read(&mut byte).unwrap(),
                1,
                "stdout ended after {:?}",
                String::from_utf8_lossy(&seen)
            );
            seen.extend(byte);
        }
    }

    /// Closes the command's stdin and waits for the runtime's end.
    pub fn end(mut self) -> Ran {
        drop(self.runtime.stdin.take());
        let status =
            eventually(|| self.runtime.try_wait().unwrap()).expect("the runtime ends");
        let mut ran =
            Ran { code: code(status), out: String::new(), err: String::new() };
        let _ = self.runtime.stdout.take().unwrap().read_to_string(&mut ran.out);
        let _ = self.runtime.stderr.take().unwrap().read_to_string(&mut ran.err);
        ran
    }
}

fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.runtime.try_wait(), Ok(Some(_))) {
            return;
        }
        // Kills the command, not the runtime, which then cleans up as it should.
        // SIGCONT: it may be stopped.
        let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        let _ = kill(Pid::from_raw(self.runtime()), Signal::SIGCONT);
        if eventually(|| self.runtime.try_wait().ok().flatten()).is_none() {
            host::kill_tree(self.runtime());
            let _ = self.runtime.wait();
        }
    }
}
