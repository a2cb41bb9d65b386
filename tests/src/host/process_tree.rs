//! A process and its descendants.

use std::collections::HashMap;
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process. The kernel may reuse its id, so its start time identifies it, too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Process {
    /// Its process id.
    pub id: i32,
    parent: i32,
    start: u64,
}

/// Finds a process and all its descendants, including zombies.
pub fn process_tree(root: i32) -> Vec<Process> {
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for process in pids().filter_map(Process::read) {
        children.entry(process.parent).or_default().push(process);
    }
    let mut tree = Vec::from_iter(Process::read(root));
    let mut next = 0;
    while let Some(process) = tree.get(next) {
        tree.extend(children.remove(&process.id).unwrap_or_default());
        next += 1;
    }
    tree
}

impl Process {
    fn read(id: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The fields of proc_pid_stat(5) from the third on. The second field, the name,
        // may contain anything.
        let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let (parent, start) =
            (fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?);
        Some(Process { id, parent, start })
    }

    /// Returns whether it still exists and has a thread that is not a zombie: the first
    /// thread may end before the others.
    pub fn is_alive(&self) -> bool {
        let is_same =
            Process::read(self.id).is_some_and(|other| other.start == self.start);
        let threads = fs::read_dir(format!("/proc/{}/task", self.id)).into_iter();
        let mut threads = threads.flatten().flatten().map(|it| it.file_name());
        let is_alive = |thread: std::ffi::OsString| {
            super::is_alive(format!("{}/task/{}", self.id, thread.display()))
        };
        is_same && threads.any(is_alive)
    }

    /// Sends it SIGKILL.
    pub fn kill(&self) -> nix::Result<()> {
        kill(Pid::from_raw(self.id), Signal::SIGKILL)
    }
}

pub(super) fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
}
