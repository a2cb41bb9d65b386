//! Version 1, where nothing kills at once: kills the processes of a cgroup one by one.
//! Freeze, signal all, thaw, until none is left.

use std::collections::HashSet;

use anyhow::Result;
use kit::{Failure, Hint};
use nix::errno::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::directory::Directory;
use crate::events::{Patience, STUCK};
use crate::{freeze, freezer};

/// Kills what is in the cgroups, and returns when it is gone. Nothing happens when they
/// are empty.
///
/// What is frozen cannot fork, so that a bomb stands still while it is signalled.
pub(crate) fn kill_each(directories: &[Directory]) -> Result<()> {
    let freezer = freezer::of(directories);
    let patience = Patience::new();
    while !processes(directories).is_empty() {
        // Without a freezer the signals race, and the next round catches what escaped.
        let _ = freezer.map_or_else(|| freeze::freeze(directories), freezer::freeze);
        let listed: Vec<_> = processes(directories).into_iter().collect();
        let killed =
            listed.chunks(AT_ONCE).try_for_each(|pids| kill(directories, pids));
        let _ =
            freezer.map_or_else(|| freeze::thaw(directories), freezer::thaw_if_frozen);
        killed?;
        if !patience.pause() {
            let left = processes(directories).len();
            return Err(Failure::new(format!("{left} processes do not die")).into())
                .hint(STUCK);
        }
    }
    Ok(())
}

/// How many descriptors are open at once: a bomb has more processes than we may have
/// descriptors.
const AT_ONCE: usize = 128;

/// The processes in the cgroups and in those below them.
///
/// cgroup.procs shows 0 for a process that lives outside our PID namespace: it has no
/// id here.
fn processes(directories: &[Directory]) -> HashSet<Pid> {
    let trees = directories.iter().flat_map(Directory::tree);
    let texts = trees
        .filter_map(|cgroup| kit::read_kernel_file(cgroup.join("cgroup.procs")).ok());
    texts.flat_map(|text| text.lines().filter_map(pid).collect::<Vec<_>>()).collect()
}

fn pid(line: &str) -> Option<Pid> {
    line.parse().ok().and_then(Pid::from_raw)
}

/// Sends SIGKILL by descriptor (pidfd_open(2)): a process may have ended since it was
/// listed, and its number may be another's by now. What is listed again, with the
/// descriptor open, is the same.
fn kill(directories: &[Directory], pids: &[Pid]) -> Result<()> {
    let open = |pid: &Pid| Some((*pid, pidfd_open(*pid, PidfdFlags::empty()).ok()?));
    let opened: Vec<_> = pids.iter().filter_map(open).collect();
    let listed = processes(directories);
    for (pid, process) in opened.iter().filter(|(pid, _)| listed.contains(pid)) {
        let operands = format_args!("{}, SIGKILL", pid.as_raw_nonzero());
        match kit::call(
            "kill what is still in the cgroup",
            "pidfd_send_signal",
            operands,
            || pidfd_send_signal(process, Signal::KILL),
        ) {
            Err(error) if kit::errno(&error) != Some(Errno::ESRCH) => {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hierarchy::tests::Fake;

    #[test]
    fn the_processes_of_a_cgroup_are_those_of_the_cgroups_below_it_too() {
        let top = Fake::new("signals");
        let path = top.with("it", &[("cgroup.procs", "17\n18\n")]);
        top.with("it/below", &[("cgroup.procs", "19\n0\n")]);
        let found = processes(&[Directory::found(&top.unified(), path)]);
        let mut found: Vec<_> =
            found.into_iter().map(|pid| pid.as_raw_nonzero().get()).collect();
        found.sort_unstable();
        assert_eq!(found, [17, 18, 19]);
    }

    #[test]
    fn a_process_of_another_pid_namespace_is_not_taken_for_our_own_group() {
        assert_eq!(pid("0"), None);
        assert_eq!(pid("17").map(|pid| pid.as_raw_nonzero().get()), Some(17));
    }
}
