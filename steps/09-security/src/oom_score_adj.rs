//! The preference of the kernel when memory runs out: proc_pid_oom_score_adj(5).

use std::fmt::{self, Display};
use std::str::FromStr;

use anyhow::Result;
use kit::Hint;
use nix::errno::Errno;
use nix::unistd::Pid;

/// A value from -1000 (never killed) to 1000 (killed first), which is added to the
/// kernel's own score of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OomScoreAdj(i32);

impl OomScoreAdj {
    /// Makes a value.
    ///
    /// # Errors
    /// When it is out of range.
    pub fn new(value: i64) -> Result<Self, String> {
        match value {
            -1000..=1000 => Ok(OomScoreAdj(value as i32)),
            _ => Err(format!("{value}: an OOM score is from -1000 to 1000")),
        }
    }

    /// In the parent: sets the value of the waiting child, which its command inherits.
    ///
    /// # Errors
    /// EACCES or EPERM when the value is lower than the caller's lowest one and the
    /// caller does not have CAP_SYS_RESOURCE.
    pub fn set(self, child: Pid) -> Result<()> {
        let path = format!("/proc/{child}/oom_score_adj");
        let operands = format_args!("{path}, {self}");
        let written = kit::call("when memory runs out", "write", operands, || {
            std::fs::write(&path, self.to_string())
        });
        let own = kit::read_kernel_file("/proc/self/oom_score_adj").unwrap_or_default();
        let hint = format!(
            "a value lower than the caller's own ({}) needs CAP_SYS_RESOURCE on the host",
            own.trim()
        );
        written.hint_on(Errno::EACCES, &hint).hint_on(Errno::EPERM, &hint)
    }
}

impl FromStr for OomScoreAdj {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value = text.parse();
        OomScoreAdj::new(value.map_err(|_| format!("{text:?} is no number"))?)
    }
}

impl Display for OomScoreAdj {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_in_the_kernels_range() {
        for good in ["-1000", "0", "1000", "+5"] {
            good.parse::<OomScoreAdj>().unwrap();
        }
        for bad in ["-1001", "1001", "", "x", "99999999999999999999"] {
            bad.parse::<OomScoreAdj>().unwrap_err();
        }
    }
}
