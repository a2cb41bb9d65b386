//! Reports that the OOM killer has killed a process of the cgroup.

use std::fmt::{self, Display};

use anyhow::Result;
use kit::{Hint, Size};

use crate::cgroup::Cgroup;
use crate::controller::Controller;

/// A kill by the OOM killer: the container, or the host, ran out of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oom {
    limit: Option<Size>,
    peak: Option<Size>,
}

impl Cgroup {
    /// Returns the kill if the OOM killer has killed a process in the cgroup. If memory
    /// is not counted, it returns `None`.
    pub fn oom(&self) -> Option<Oom> {
        let memory = self.directory_of(Controller::Memory)?;
        let killed = memory.read_keyed(
            memory.by_version("memory.events", "memory.oom_control"),
            "oom_kill",
        )?;
        if killed == 0 {
            return None;
        }
        let size = |v2, v1| memory.read_number(memory.by_version(v2, v1)).map(Size);
        // Without a limit, version 2 has `max`, which is no number, and version 1 the
        // largest number of whole pages.
        let limit = size("memory.max", "memory.limit_in_bytes")
            .filter(|limit| limit.0 >> 62 == 0);
        let peak = size("memory.peak", "memory.max_usage_in_bytes");
        Some(Oom { limit, peak })
    }

    /// Adds a hint to the error of a start if the container ran out of memory: a limit
    /// can be too small to start with.
    ///
    /// # Errors
    /// Always: the error that it was given.
    pub fn add_oom_hint<T>(&self, error: anyhow::Error) -> Result<T> {
        match self.oom() {
            Some(oom) => Err(error).hint(format_args!("{oom}: raise the memory limit")),
            None => Err(error),
        }
    }
}

impl Display for Oom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = |limit| format!("limit {limit}");
        let limit = self.limit.map_or("no limit of its own".into(), own);
        let peak = self.peak.map(|peak| format!(", peak {peak}")).unwrap_or_default();
        write!(f, "killed: out of memory ({limit}{peak})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oom_kill_is_reported_with_the_limit_and_the_peak() {
        let oom = Oom { limit: Some(Size(32 << 20)), peak: Some(Size(32 << 20)) };
        assert_eq!(oom.to_string(), "killed: out of memory (limit 32MiB, peak 32MiB)");
        assert_eq!(
            Oom { peak: None, ..oom }.to_string(),
            "killed: out of memory (limit 32MiB)"
        );
    }
}
