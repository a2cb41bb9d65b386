//! The note that identifies a container's first process. The kernel kills that
//! process when its runtime dies, unless the command has cleared this setting
//! (prctl(2), PR_SET_PDEATHSIG). Then only this note tells which process is left.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::call::call;
use crate::failure::{Failure, Hint};
use crate::interrupt::Wait;
use crate::lock::read_file;
use crate::process_identity::{Liveness, ProcessIdentity};
use crate::run_dir::{Abandoned, RunDir};

/// The name of the note. It is not `state.json`: a running process in `state.json`
/// keeps its container alive, but one in this note is to be killed if the container
/// has no owner.
const NAME: &str = "first-process";

/// The longest note that is read, in bytes.
const LONGEST: u64 = 4096;

/// The time that a killed process may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// The time that a process may take to die with its runtime.
const EXIT_TIMEOUT: Duration = Duration::from_millis(500);

impl RunDir {
    /// Notes the container's first process. The caller does so before that process
    /// runs any code of the container.
    ///
    /// # Errors
    /// When the process cannot be examined, or the note cannot be written.
    #[track_caller]
    pub fn note_first_process(&self, pid: i32) -> Result<()> {
        let process = ProcessIdentity::of_process(pid)?;
        self.note(NAME, &serde_json::to_string(&process)?)
    }
}

impl Abandoned {
    /// Kills the container's first process, if it has outlived its runtime, and waits
    /// for its end. The kernel kills the rest of its PID namespace with it.
    ///
    /// # Errors
    /// When the note cannot be read, or the process cannot be killed. The run directory
    /// is to be kept then.
    #[track_caller]
    pub fn kill_first_process(&self) -> Result<()> {
        let text = self.read(NAME)?;
        let Some(process) = NotedProcess::find(&text, self.path())? else {
            return Ok(());
        };
        let pid = process.pid;
        let why = "the container has outlived its runtime";
        call(why, "pidfd_send_signal", format_args!("{pid}, SIGKILL"), || {
            match pidfd_send_signal(&process.pidfd, Signal::KILL) {
                // It has ended already.
                Err(rustix::io::Errno::SRCH) => Ok(()),
                sent => sent,
            }
        })
        .hint_on(Errno::EPERM, "it is another user's: use sudo")?;
        if process.ends_within(KILL_TIMEOUT)? {
            return Ok(());
        }
        Err(Failure::new(format_args!("process {pid} is killed, and does not end"))
            .hint("it is stuck in the kernel: look for state D in `ps -eo pid,stat,wchan,cmd`")
            .into())
    }
}

/// Tells whether the first process of a container without an owner is alive. A
/// process that is dying with its runtime gets the time to end.
pub(crate) fn liveness(directory: &File, run_dir: &Path) -> Result<Liveness> {
    let text = read_file(directory, run_dir, NAME, LONGEST)?.unwrap_or_default();
    Ok(match NotedProcess::find(&text, run_dir)? {
        Some(process) if !process.ends_within(EXIT_TIMEOUT)? => Liveness::Alive,
        _ => Liveness::Gone,
    })
}

/// A running process that a note identifies.
struct NotedProcess {
    pid: i32,
    pidfd: std::os::fd::OwnedFd,
}

impl NotedProcess {
    /// Finds the process of a note. None: the note is empty, or the process has
    /// ended; another process may have its id by now.
    fn find(note: &str, run_dir: &Path) -> Result<Option<Self>> {
        if note.is_empty() {
            return Ok(None);
        }
        let place = || run_dir.join(NAME).display().to_string();
        let state = ProcessIdentity::parse(note).with_context(place)?;
        let pid = Pid::from_raw(state.pid).with_context(place)?;
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error).with_context(place),
        };
        // A pidfd always refers to the same process. If the id still belongs to the
        // noted process after the open, it did so at the open, and the pidfd refers
        // to that process.
        let process = NotedProcess { pid: state.pid, pidfd };
        match state.liveness() {
            Ok(Liveness::Alive) => Ok(Some(process)),
            Ok(Liveness::Gone) => Ok(None),
            // It was reaped while it was examined.
            Err(_) if process.ends_within(Duration::ZERO)? => Ok(None),
            Err(error) => Err(error).with_context(place),
        }
    }

    /// Waits for the end of the process. Returns whether it has ended.
    fn ends_within(&self, time: Duration) -> Result<bool> {
        let wait = Wait::new().context("signalfd(signals)")?;
        wait.is_readable_within(time, &self.pidfd).context("poll(pidfd)")
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;
    use crate::id::Id;

    fn start_sleep() -> Child {
        Command::new("sleep").arg("100").spawn().unwrap()
    }

    /// Makes a run directory as a killed runtime leaves it, with the note of a process.
    fn leave_run_dir(parent: &Path, text: &str) {
        let run_dir = RunDir::create(parent, &Id::random().unwrap()).unwrap();
        run_dir.note(NAME, text).unwrap();
        run_dir.unlock_for_test();
        run_dir.leave_for_gc();
    }

    fn identity(child: &Child) -> ProcessIdentity {
        ProcessIdentity::of_process(child.id() as i32).unwrap()
    }

    #[test]
    fn a_first_process_that_has_outlived_its_runtime_is_alive_until_it_is_killed() {
        let scratch = tempfile::tempdir().unwrap();
        let run_dirs = scratch.path().join("run");
        let mut child = start_sleep();
        leave_run_dir(&run_dirs, &serde_json::to_string(&identity(&child)).unwrap());
        let path =
            std::fs::read_dir(&run_dirs).unwrap().next().unwrap().unwrap().path();
        assert_eq!(crate::liveness(&path, None).unwrap(), Liveness::Alive);
        let [abandoned] = RunDir::abandoned(&run_dirs).unwrap().try_into().unwrap();
        let abandoned = abandoned.unwrap();
        abandoned.kill_first_process().unwrap();
        assert_eq!(child.try_wait().unwrap().map(|it| it.code()), Some(None), "killed");
        abandoned.kill_first_process().unwrap();
        drop(abandoned);
        assert_eq!(crate::liveness(&path, None).unwrap(), Liveness::Gone);
    }

    #[test]
    fn another_process_of_the_same_id_is_not_killed_and_an_invalid_note_is_an_error() {
        let scratch = tempfile::tempdir().unwrap();
        let run_dirs = scratch.path().join("run");
        let mut child = start_sleep();
        let noted = identity(&child);
        let start_time = noted.start_time + 1;
        let other = ProcessIdentity { start_time, ..noted };
        leave_run_dir(&run_dirs, &serde_json::to_string(&other).unwrap());
        for invalid in ["{}", r#"{"pid": -1, "start_time": 1}"#, r#"{"pid": 1"#] {
            leave_run_dir(&run_dirs, invalid);
        }
        let all = RunDir::abandoned(&run_dirs).unwrap();
        let killed = all.iter().map(|it| it.as_ref().unwrap().kill_first_process());
        assert_eq!(killed.filter(|it| it.is_ok()).count(), 1);
        assert!(child.try_wait().unwrap().is_none(), "it runs on");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
