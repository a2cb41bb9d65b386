//! A run that has ended.

use std::os::unix::process::ExitStatusExt;
use std::time::Instant;

use crate::{has_hung, patience};

/// How a run ended, and what it printed.
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
        let (start, patience) = (Instant::now(), patience());
        let output = command.timeout(patience).output();
        let output =
            output.unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        // What ran out of patience was killed, and must not pass for a command that
        // died of signal 9.
        if start.elapsed() >= patience {
            has_hung();
        }
        assert!(
            start.elapsed() < patience,
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

    /// It must have ended with this code.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "exit code; it printed:\n{}{}", self.out, self.err);
        self
    }

    /// It must have exited 0 and printed exactly this on stdout, but for white space at
    /// the end.
    #[track_caller]
    pub fn prints(&self, text: &str) -> &Self {
        self.exits(0);
        assert_eq!(self.out.trim_end(), text, "stdout; on stderr:\n{}", self.err);
        self
    }

    /// Whether the file system of the tests cannot show its files with other owners, as
    /// tmpfs before Linux 6.3 cannot: then the test is to return, as when it
    /// [`lacks`](crate::lacks) anything.
    pub fn lacks_idmapped_mounts(&self) -> bool {
        let refused = self.code == 125 && self.err.contains("idmapped mounts");
        if refused {
            let found =
                "the file system of the tests cannot show its files with other owners";
            crate::lacks("idmapped-mounts", found);
        }
        refused
    }

    /// Its stderr must have this in it.
    #[track_caller]
    pub fn complains(&self, text: &str) -> &Self {
        assert!(
            self.err.contains(text),
            "stderr should have {text:?} in it, and is:\n{}",
            self.err
        );
        self
    }
}
