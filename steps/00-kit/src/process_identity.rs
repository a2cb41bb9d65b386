//! The identity of a process, noted for a process that reads it later.

use std::fs::metadata;
use std::io;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, reason};
use crate::file::{if_exists, read_kernel_file};

/// The answer to whether a process runs, or to whether a container is alive. For a
/// container, [`crate::liveness()`] has the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It runs.
    Alive,
    /// It does not run any more.
    Gone,
}

/// The identity of a process, noted for a process that reads it later, perhaps after
/// a reboot.
///
/// The kernel reuses process ids, so an id alone proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its process id.
    pub pid: i32,
    /// When it started, in clock ticks since the boot: proc_pid_stat(5), field 22.
    pub start_time: u64,
    /// The id of the host's boot. No process survives a reboot.
    #[serde(default)]
    pub boot: Option<String>,
    /// The inode numbers of the PID and the time namespace in which the id and the
    /// time were read. In other namespaces both differ.
    #[serde(default)]
    pub namespaces: Option<[u64; 2]>,
}

impl ProcessIdentity {
    /// Identifies a process that runs.
    ///
    /// # Errors
    /// When there is no such process, or it cannot be examined.
    pub fn of_process(pid: i32) -> Result<Self> {
        let Some(process) = Process::read(pid)? else {
            let what = format_args!("no process has the id {pid}");
            return Err(Failure::new(what).into());
        };
        Ok(ProcessIdentity {
            pid,
            start_time: process.start_time,
            boot: Some(boot_id()?),
            namespaces: Some(namespaces()?),
        })
    }

    /// Identifies this process.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn current() -> Result<Self> {
        ProcessIdentity::of_process(std::process::id() as i32)
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let state: Self = serde_json::from_str(text)?;
        match state.pid {
            // kill(2) takes 0 and negative numbers for process groups.
            ..1 => {
                Err(Failure::new(format_args!("{} is no process id", state.pid)).into())
            }
            _ => Ok(state),
        }
    }

    /// Tells whether the process still runs. A zombie does not.
    ///
    /// # Errors
    /// When the process cannot be examined: it was noted in other namespaces, or /proc
    /// hides it.
    pub fn liveness(&self) -> Result<Liveness> {
        if self.boot.is_some() && self.boot != Some(boot_id()?) {
            return Ok(Liveness::Gone);
        }
        if self.namespaces.is_some() && self.namespaces != Some(namespaces()?) {
            let what = format_args!(
                "process {} was noted in another PID or time namespace",
                self.pid
            );
            return Err(Failure::new(what).hint("run the command there").into());
        }
        Ok(match Process::read(self.pid)? {
            Some(it) if it.start_time == self.start_time && !it.is_zombie => {
                Liveness::Alive
            }
            _ => Liveness::Gone,
        })
    }

    pub(crate) fn surely_runs(&self) -> bool {
        matches!(self.liveness(), Ok(Liveness::Alive))
    }
}

/// Returns the id of the host's boot: random(4).
fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    Ok(read_kernel_file(path).context(path)?.trim().into())
}

/// Returns the inode numbers of this process's PID and time namespace: namespaces(7). A
/// kernel without time namespaces counts as 0.
fn namespaces() -> Result<[u64; 2]> {
    let inode = |path| match if_exists(metadata(path)) {
        Ok(found) => Ok(found.map_or(0, |found| found.ino())),
        Err(error) => Err(error).context(path),
    };
    Ok([inode("/proc/self/ns/pid")?, inode("/proc/self/ns/time")?])
}

/// The facts of `/proc/PID/stat` that matter here.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    start_time: u64,
    /// It has ended, and its parent has not yet waited for it.
    is_zombie: bool,
}

impl Process {
    /// Reads the stat of a process. None: no process has this id.
    fn read(pid: i32) -> Result<Option<Self>> {
        let path = format!("/proc/{pid}/stat");
        match read_kernel_file(&path) {
            Ok(text) => Process::parse(&text)
                .map(Some)
                .ok_or_else(|| Failure::new(format_args!("{path}: {text:?}")).into()),
            // ESRCH: it ended between the open and the read.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    || error.raw_os_error() == Some(Errno::ESRCH as i32) =>
            {
                expect_no_process(pid).map(|()| None)
            }
            Err(error) => Err(error).context(path),
        }
    }

    /// Parses proc_pid_stat(5). The second field is the name in parentheses, which may
    /// contain spaces and parentheses itself.
    fn parse(text: &str) -> Option<Self> {
        let (_, after_name) = text.rsplit_once(')')?;
        // The fields from the third on; the third is the state.
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        // The kernel shows a process as a zombie whose first thread has ended, while
        // other threads of it still run.
        let threads: u64 = field(20)?.parse().ok()?;
        let is_zombie = matches!(field(3)?, "Z" | "X") && threads <= 1;
        Some(Process { start_time: field(22)?.parse().ok()?, is_zombie })
    }
}

/// Checks by kill(2) that no process has this id, because /proc shows none. With the
/// mount option `hidepid`, /proc hides the processes of other users.
fn expect_no_process(pid: i32) -> Result<()> {
    let found = match kill(Pid::from_raw(pid), None) {
        Err(Errno::ESRCH) => return Ok(()),
        Err(errno) => reason(errno),
        Ok(()) => "it exists".into(),
    };
    let what =
        format!("/proc does not show process {pid}, but kill({pid}, 0) says: {found}");
    Err(Failure::new(what)
        .hint("use sudo, or mount /proc without the option hidepid")
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stat_of_a_process_is_parsed_whatever_its_name_is() {
        let stat = |name: &str, state: &str, threads: u32| {
            let text = format!(
                "7 ({name}) {state} 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 4711 0 0"
            );
            Process::parse(&text).unwrap()
        };
        let running = Process { start_time: 4711, is_zombie: false };
        assert_eq!(stat("sh", "S", 1), running);
        assert_eq!(stat("a) Z (b", "R", 1), running);
        assert_eq!(stat("sh", "Z", 2), running, "another thread runs");
        assert!(stat("sh", "Z", 1).is_zombie);
        assert_eq!(Process::parse("7 (sh) S 1"), None);
        assert_eq!(Process::parse(""), None);
    }
}
