//! Kills all processes of a cgroup: on version 2 by one write, on version 1 one by one.
//! Sends them another signal, also one by one.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use kit::{Failure, Hint};
use nix::errno::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use crate::deadline::{Deadline, STUCK};
use crate::directory::{Directory, unified};
use crate::{events, freeze};

// ANCHOR: kill
/// Kills every process in the cgroup of version 2, and returns when they are gone.
///
/// SIGKILLs to one process after the other lose the race against a fork bomb.
/// cgroup.kill (Linux 5.14) also kills the processes that are being forked at that
/// moment.
// Task 5.4: one write to cgroup.kill, then wait until the kernel says that it is empty.
pub(crate) fn kill(directories: &[Directory]) -> Result<()> {
    if let Some(unified) = unified(directories) {
        match unified.write("kill every process in it", "cgroup.kill", 1) {
            // An older kernel: `kill_one_by_one` does it.
            Err(error) if kit::errno(&error) == Some(Errno::ENOENT) => return Ok(()),
            written => written?,
        }
        if unified.read_keyed("cgroup.events", "populated") != Some(0) {
            // A process that version 1 has frozen does not die.
            freeze::freezer(directories).map_or(Ok(()), freeze::thaw_tree)?;
            events::wait(unified, "populated", 0)?;
        }
    }
    Ok(()) // version 1 has no such file: `kill_one_by_one` does it
}
// ANCHOR_END: kill

/// Kills the processes of the cgroups one by one, and returns when they are gone: for
/// version 1. It does nothing when the cgroups are empty.
///
/// Frozen processes cannot fork, so a fork bomb stands still while it is signalled.
pub(crate) fn kill_one_by_one(directories: &[Directory]) -> Result<()> {
    let freezer = freeze::freezer(directories);
    let deadline = Deadline::new();
    while !processes(directories)?.is_empty() {
        // If freezing fails, the next round kills what was forked meanwhile.
        let _ = freezer.map_or_else(|| freeze::freeze(directories), freeze::freeze_v1);
        let killed = send_to_all(Signal::KILL.as_raw(), directories);
        let _ = freezer.map_or_else(|| freeze::thaw(directories), freeze::thaw_tree);
        killed?;
        if !deadline.pause() {
            let left = processes(directories)?.len();
            return Err(Failure::new(format!("{left} processes do not die")).into())
                .hint(STUCK);
        }
    }
    Ok(())
}

/// Sends a signal to every process in the cgroups, and to each only once.
///
/// Frozen processes cannot fork meanwhile. They get the signal when they are thawed; a
/// container that was paused before stays so. If freezing fails, those get the signal that
/// are there at this moment.
///
/// A process that was about to fork while it blocked the signal, as fork(3) of musl does,
/// still forks before the signal reaches it. The new process does not get it: signal(7),
/// a child has no pending signals. Only SIGKILL cannot be blocked.
pub(crate) fn signal(directories: &[Directory], signal: i32) -> Result<()> {
    let is_paused = freeze::is_frozen(directories).unwrap_or(false);
    let is_frozen_here = !is_paused && freeze::freeze(directories).is_ok();
    let sent = send_to_all(signal, directories);
    let thawed = if is_frozen_here { freeze::thaw(directories) } else { Ok(()) };
    sent.and(thawed)
}

fn send_to_all(signal: i32, directories: &[Directory]) -> Result<()> {
    let listed: Vec<_> = processes(directories)?.into_iter().collect();
    listed.chunks(MAX_OPEN_PIDFDS).try_for_each(|pids| send(signal, directories, pids))
}

/// The most pidfds that are open at once. A fork bomb has more processes than we may
/// have descriptors.
const MAX_OPEN_PIDFDS: usize = 128;

/// Returns the processes in the cgroups and in those below them.
///
/// cgroup.procs shows 0 for a process outside our PID namespace. Such a process is left
/// out.
///
/// # Errors
/// When a list of processes cannot be read.
pub(crate) fn processes(directories: &[Directory]) -> Result<HashSet<Pid>> {
    let mut found = HashSet::new();
    for cgroup in directories.iter().flat_map(Directory::tree) {
        let path = cgroup.join("cgroup.procs");
        match kit::read_kernel_file(&path) {
            Ok(text) => found.extend(text.lines().filter_map(pid)),
            Err(error) if has_no_list(&error) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("read {}", path.display()));
            }
        }
    }
    Ok(found)
}

/// Tells whether a cgroup was removed meanwhile (ENOENT before the open, ENODEV after
/// it), or is threaded: the processes of its threads are in the list of a cgroup above
/// it (EOPNOTSUPP, cgroups(7)).
fn has_no_list(error: &io::Error) -> bool {
    let reason = error.raw_os_error().map(Errno::from_raw);
    matches!(reason, Some(Errno::ENOENT | Errno::ENODEV | Errno::EOPNOTSUPP))
}

fn pid(line: &str) -> Option<Pid> {
    line.parse().ok().and_then(Pid::from_raw)
}

/// Sends a signal to the processes through pidfds (pidfd_open(2)).
///
/// A process may have ended since it was listed, and its number may belong to another
/// by now. If the number is listed again while the pidfd is open, it is the same
/// process.
fn send(signal: i32, directories: &[Directory], pids: &[Pid]) -> Result<()> {
    let opened: Vec<_> =
        pids.iter().filter_map(|pid| open(*pid).transpose()).collect::<Result<_>>()?;
    let listed = processes(directories)?;
    for (pid, process) in opened.iter().filter(|(pid, _)| listed.contains(pid)) {
        let name = nix::sys::signal::Signal::try_from(signal);
        let name = name.map_or(signal.to_string(), |name| name.to_string());
        let operands = format_args!("{}, {name}", pid.as_raw_nonzero());
        let why = "to a process that is still in the cgroup";
        match kit::call(why, "pidfd_send_signal", operands, || {
            exec::pidfd_send_signal(process.as_fd(), signal)
        }) {
            Err(error) if kit::errno(&error) != Some(Errno::ESRCH) => {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Opens a process. None: it has ended. While it is being reaped, the kernel answers
/// EINVAL.
fn open(pid: Pid) -> Result<Option<(Pid, OwnedFd)>> {
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => Ok(Some((pid, process))),
        Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("pidfd_open({pid})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHierarchy;

    #[test]
    fn the_processes_of_a_cgroup_include_those_of_the_cgroups_below_it() {
        let top = FakeHierarchy::new("kill");
        let path = top.make_cgroup("it", &[("cgroup.procs", "17\n18\n")]);
        top.make_cgroup("it/below", &[("cgroup.procs", "19\n0\n")]);
        let found = processes(&[Directory::existing(&top.unified(), path)]).unwrap();
        let mut found: Vec<_> =
            found.into_iter().map(|pid| pid.as_raw_nonzero().get()).collect();
        found.sort_unstable();
        assert_eq!(found, [17, 18, 19]);
    }

    #[test]
    fn a_list_of_processes_that_cannot_be_read_is_an_error_unless_it_is_gone() {
        let top = FakeHierarchy::new("kill-error");
        let path = top.make_cgroup("it", &[]);
        let cgroup = [Directory::existing(&top.unified(), path.clone())];
        assert!(processes(&cgroup).unwrap().is_empty());
        std::fs::create_dir(path.join("cgroup.procs")).unwrap();
        let error = signal(&cgroup, 15).unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains("it/cgroup.procs: Is a directory"), "{message}");
    }

    #[test]
    fn pid_0_in_cgroup_procs_is_left_out() {
        assert_eq!(pid("0"), None);
        assert_eq!(pid("17").map(|pid| pid.as_raw_nonzero().get()), Some(17));
    }
}
