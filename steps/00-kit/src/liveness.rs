//! The rule by which a container is alive or gone, for all code that collects garbage.
//!
//! A container is alive while a process holds the lock of its run directory, or while
//! its `state.json` names a process that runs. So a container that is created,
//! running or paused is never collected, whether or not its creator still runs. The
//! resources of a container also stay while its noted first process runs; `gc` kills
//! that process.

use std::fs::{File, metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Hint};
use crate::file::{if_exists, read_kernel_file};
use crate::first_process;
use crate::lock::{Locked, open_run_dir, read_file, try_lock_shared};

/// The answer to whether a container is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// Its run directory is locked, or the process in its `state.json` runs.
    Alive,
    /// Its run directory does not exist, or it is not locked and the process in its
    /// `state.json` does not run.
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

/// The file in the run directory that identifies the container's first process. The
/// runtime writes more into the same file.
pub const STATE_FILE: &str = "state.json";

/// Tells whether the container of this run directory is alive.
///
/// `runtime` is the process that held the lock when it wrote its note. If that
/// process runs, the container is alive even if the directory is missing: a logout
/// removes a directory in `$XDG_RUNTIME_DIR`, and another mount namespace may not
/// show it.
///
/// # Errors
/// When the directory, its lock, its `state.json` or the process cannot be examined. A
/// caller that removes something must not take an error for [`Liveness::Gone`].
pub fn liveness(run_dir: &Path, runtime: Option<&ProcessIdentity>) -> Result<Liveness> {
    let Some(directory) = open_run_dir(run_dir)? else {
        return runtime.map_or(Ok(Liveness::Gone), ProcessIdentity::liveness);
    };
    match try_lock_shared(&directory, run_dir)? {
        Locked::ByOther => Ok(Liveness::Alive),
        // `gc` has just removed the directory, and a new container may have made it
        // again.
        Locked::Removed => liveness(run_dir, runtime),
        Locked::ByUs => match liveness_by_state(&directory, run_dir)? {
            // The container's directory may have been replaced by another, which
            // nobody locks.
            Liveness::Gone if runtime.is_some_and(ProcessIdentity::surely_runs) => {
                Ok(Liveness::Alive)
            }
            Liveness::Gone => first_process::liveness(&directory, run_dir),
            Liveness::Alive => Ok(Liveness::Alive),
        },
    }
}

/// Tells by `state.json` alone whether the container is alive. The caller holds the
/// lock of the run directory.
pub(crate) fn liveness_by_state(directory: &File, run_dir: &Path) -> Result<Liveness> {
    let name = STATE_FILE;
    let Some(text) = read_file(directory, run_dir, name, LONGEST_STATE)? else {
        return Ok(Liveness::Gone);
    };
    ProcessIdentity::parse(&text)
        .and_then(|state| state.liveness())
        .with_context(|| run_dir.join(name).display().to_string())
        .hint("nothing of this container was removed: see whether it still runs")
}

/// The longest `state.json` that is read, in bytes; the annotations of a container are
/// in it.
const LONGEST_STATE: u64 = 1 << 20;

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

    pub(crate) fn liveness(&self) -> Result<Liveness> {
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

    fn surely_runs(&self) -> bool {
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
    match kill(Pid::from_raw(pid), None) {
        Err(Errno::ESRCH) => Ok(()),
        _ => Err(Failure::new(format_args!("/proc does not show process {pid}"))
            .hint("use sudo, or mount /proc without the option hidepid")
            .into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::id::Id;
    use crate::run_dir::RunDir;

    /// Makes a run directory as a killed owner leaves it, with this state.
    fn make_run_dir(parent: &Path, state: Option<&str>) -> std::path::PathBuf {
        use std::os::unix::fs::DirBuilderExt;
        let path = parent.join(Id::random().unwrap().as_str());
        fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        if let Some(state) = state {
            fs::write(path.join(STATE_FILE), state).unwrap();
        }
        path
    }

    fn ourselves() -> ProcessIdentity {
        ProcessIdentity::of_process(std::process::id() as i32).unwrap()
    }

    fn json(state: &ProcessIdentity) -> String {
        serde_json::to_string(state).unwrap()
    }

    #[test]
    fn a_container_is_alive_while_its_lock_is_held_and_gone_once_it_is_not() {
        let scratch = tempfile::tempdir().unwrap();
        let run_dir = RunDir::create(scratch.path(), &Id::random().unwrap()).unwrap();
        assert_eq!(liveness(run_dir.path(), None).unwrap(), Liveness::Alive);
        assert_eq!(
            liveness(run_dir.path(), None).unwrap(),
            Liveness::Alive,
            "asked again"
        );
        let path = run_dir.path().to_path_buf();
        drop(run_dir);
        assert_eq!(liveness(&path, None).unwrap(), Liveness::Gone, "not there");
        assert_eq!(
            liveness(&make_run_dir(scratch.path(), None), None).unwrap(),
            Liveness::Gone
        );
    }

    #[test]
    fn without_a_lock_a_container_is_alive_while_the_process_of_its_state_runs() {
        let scratch = tempfile::tempdir().unwrap();
        let state = json(&ourselves()).replace('{', r#"{"id": "more", "#);
        let path = make_run_dir(scratch.path(), Some(&state));
        assert_eq!(liveness(&path, None).unwrap(), Liveness::Alive);
        assert_eq!(
            liveness(&path, None).unwrap(),
            Liveness::Alive,
            "asking leaves no lock"
        );
        assert!(RunDir::abandoned(scratch.path()).unwrap().is_empty());
        let other = RunDir::create(scratch.path(), &Id::random().unwrap()).unwrap();
        assert!(other.abandoned_nearby().unwrap().is_empty());
        assert!(path.join(STATE_FILE).exists(), "nothing was removed");
    }

    #[test]
    fn without_its_directory_a_container_is_alive_while_its_runtime_runs() {
        let scratch = tempfile::tempdir().unwrap();
        let ourselves = ourselves();
        let missing = scratch.path().join("missing");
        let replaced = make_run_dir(scratch.path(), None);
        let both = |runtime: &ProcessIdentity| {
            [&missing, &replaced].map(|path| liveness(path, Some(runtime)))
        };
        let assert_both = |expected: Liveness, runtime: &ProcessIdentity| {
            let found = both(runtime).map(Result::unwrap);
            assert_eq!(found, [expected, expected], "{runtime:?}");
        };
        assert_both(Liveness::Alive, &ourselves);
        let ended = ourselves.start_time + 1;
        assert_both(
            Liveness::Gone,
            &ProcessIdentity { start_time: ended, ..ourselves.clone() },
        );
        let boot = Some("another".into());
        assert_both(Liveness::Gone, &ProcessIdentity { boot, ..ourselves.clone() });

        let namespaces = Some([1, 1]);
        let [missing, replaced] = both(&ProcessIdentity { namespaces, ..ourselves });
        let error = format!("{:#}", missing.unwrap_err());
        assert!(error.contains("another PID or time namespace"), "{error}");
        assert_eq!(replaced.unwrap(), Liveness::Gone, "its lock is free");
    }

    #[test]
    fn a_container_is_gone_if_its_process_is_another_or_a_zombie_or_does_not_exist() {
        let scratch = tempfile::tempdir().unwrap();
        let assert_gone = |state: ProcessIdentity| {
            let path = make_run_dir(scratch.path(), Some(&json(&state)));
            assert_eq!(liveness(&path, None).unwrap(), Liveness::Gone, "{state:?}");
        };
        let ourselves = ourselves();
        assert_gone(ProcessIdentity {
            start_time: ourselves.start_time + 1,
            ..ourselves.clone()
        });

        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let ended = ProcessIdentity::of_process(child.id() as i32).unwrap();
        drop(child.stdin.take());
        let options = rustix::process::WaitIdOptions::EXITED
            | rustix::process::WaitIdOptions::NOWAIT;
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::waitid(rustix::process::WaitId::Pid(pid), options).unwrap();
        assert_gone(ended.clone()); // a zombie
        child.wait().unwrap();
        assert_gone(ended); // no process
        assert_eq!(RunDir::abandoned(scratch.path()).unwrap().len(), 3);
    }

    #[test]
    fn a_state_that_cannot_be_examined_is_an_error_and_nothing_is_collected() {
        let scratch = tempfile::tempdir().unwrap();
        for wrong in ["", "{}", "garbage", r#"{"pid": 0, "start_time": 1}"#] {
            let path = make_run_dir(scratch.path(), Some(wrong));
            let error = liveness(&path, None).unwrap_err();
            assert!(format!("{error:#}").contains("state.json"), "{error:#}");
        }
        let path = make_run_dir(scratch.path(), None);
        fs::create_dir(path.join(STATE_FILE)).unwrap();
        liveness(&path, None).unwrap_err();
        let all = RunDir::abandoned(scratch.path()).unwrap();
        assert!(all.len() == 5 && all.iter().all(Result::is_err), "{all:?}");
    }

    #[test]
    fn a_run_directory_that_cannot_be_examined_is_an_error() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        liveness(&file, None).unwrap_err();
        liveness(&file.join("below"), None).unwrap_err();
        let path = make_run_dir(scratch.path(), None);
        symlink(&path, scratch.path().join("link")).unwrap();
        liveness(&scratch.path().join("link"), None).unwrap_err();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        liveness(&path, None).unwrap_err();
    }

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
