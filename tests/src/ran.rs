//! A program that has ended.

use std::os::unix::process::ExitStatusExt;
use std::time::Instant;

use crate::{has_hung, timeout};

/// The exit code and the output of a program.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; 128 + n when signal n ended the program itself.
    pub code: i32,
    /// Its stdout.
    pub out: String,
    /// Its stderr.
    pub err: String,
}

impl Ran {
    pub(crate) fn of(command: &mut assert_cmd::Command) -> Self {
        let (start, timeout) = (Instant::now(), timeout());
        let output = command.timeout(timeout).output();
        let output =
            output.unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        // A program that took too long was killed; this must not be mistaken for a
        // command that died of signal 9.
        if start.elapsed() >= timeout {
            has_hung();
        }
        assert!(
            start.elapsed() < timeout,
            "it hung: {command:?}\nuntil then it printed:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let killed = || 128 + output.status.signal().unwrap_or_default();
        Ran {
            code: output.status.code().unwrap_or_else(killed),
            out: String::from_utf8_lossy(&output.stdout).into(),
            err: String::from_utf8_lossy(&output.stderr).into(),
        }
    }

    /// Asserts that it exited with this code.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "exit code; it printed:\n{}{}", self.out, self.err);
        self
    }

    /// Asserts that it exited with 0 and printed exactly this on stdout, except for
    /// white space at the end.
    #[track_caller]
    pub fn assert_stdout(&self, text: &str) -> &Self {
        self.exits(0);
        assert_eq!(self.out.trim_end(), text, "stdout; on stderr:\n{}", self.err);
        self
    }

    /// Returns whether the tests' file system does not support idmapped mounts, as
    /// tmpfs before Linux 6.3. Then the test is to return, as after
    /// [`report_missing`](crate::report_missing).
    pub fn lacks_idmapped_mounts(&self) -> bool {
        let refused = self.code == 125 && self.err.contains("idmapped mounts");
        if refused {
            let found = "the tests' file system does not support idmapped mounts";
            crate::report_missing("idmapped-mounts", found);
        }
        refused
    }

    /// Asserts that its stderr contains this text.
    #[track_caller]
    pub fn assert_stderr_contains(&self, text: &str) -> &Self {
        assert!(
            self.err.contains(text),
            "stderr should contain {text:?}, and is:\n{}",
            self.err
        );
        self
    }
}
