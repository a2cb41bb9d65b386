//! The processes of the host, read from /proc.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::mounts_of;
use super::process_tree::{pids, process_tree};

/// Returns the processes in this namespace, without zombies.
pub fn processes_in(kind: &str, namespace: &str) -> Vec<i32> {
    let is_in = |pid: &i32| {
        let link = fs::read_link(format!("/proc/{pid}/ns/{kind}"));
        link.is_ok_and(|link| link.to_str() == Some(namespace)) && is_alive(pid)
    };
    pids().filter(is_in).collect()
}

/// Returns the processes that have their working directory, root or program in this
/// directory, or that have something of it mounted in another mount namespace.
pub fn processes_at(dir: &Path) -> Vec<i32> {
    let name = dir.file_name().expect("a directory with a name").to_str().unwrap();
    let has_it_mounted = |pid: i32| {
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
        // Only the name of the directory is compared: a path in mountinfo is relative
        // to its file system and to the root directory of the process.
        namespace(&pid.to_string()) != namespace("self")
            && mounts_of(pid).iter().any(|line| line.contains(name))
    };
    let is_at_dir = |pid: &i32| {
        has_link_into(*pid, &["cwd", "root", "exe"], dir) || has_it_mounted(*pid)
    };
    pids().filter(is_at_dir).collect()
}

/// Returns the processes that belong to the test whose directory this is: their working
/// directory or program is in it, or their root file system is. A host daemon that
/// merely sees one of the test's mounts is not among them.
pub fn processes_of(dir: &Path) -> Vec<i32> {
    let name = dir.file_name().expect("a directory with a name").to_str().unwrap();
    // proc(5), mountinfo: 36 35 98:0 /what/is/mounted /where …
    let has_its_root = |line: &String| {
        let mut fields = line.split(' ').skip(3);
        let (what, at) = (fields.next(), fields.next());
        at == Some("/") && what.is_some_and(|what| what.contains(name))
    };
    let is_own = |pid: &i32| {
        has_link_into(*pid, &["cwd", "exe"], dir)
            || mounts_of(*pid).iter().any(has_its_root)
    };
    pids().filter(is_own).collect()
}

/// Returns whether one of these links of /proc/PID leads into a directory.
fn has_link_into(pid: i32, links: &[&str], dir: &Path) -> bool {
    let link = |what: &&str| fs::read_link(format!("/proc/{pid}/{what}")).ok();
    links.iter().filter_map(link).any(|path| path.starts_with(dir))
}

/// Kills a process and all its descendants, stopped ones too.
pub fn kill_tree(top: i32) {
    for process in process_tree(top) {
        let _ = process.kill();
    }
}

/// Returns the children of a process, including zombies.
pub fn children(pid: impl std::fmt::Display) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// Returns a field of /proc/PID/status: `status_field(1, "NSpid")`.
pub fn status_field(pid: impl std::fmt::Display, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line =
        text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().trim().into()
}

/// Identifies the file behind a process's descriptor: its device and inode number.
pub fn stream(pid: impl std::fmt::Display, number: u32) -> (u64, u64) {
    let path = format!("/proc/{pid}/fd/{number}");
    let file = fs::metadata(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    (file.dev(), file.ino())
}

/// Returns a field of /proc/PID/stat, by its number in proc_pid_stat(5), from 3 (the
/// state) on.
pub fn stat_field(pid: impl std::fmt::Display, number: usize) -> String {
    let text =
        fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    text.rsplit(')').next().unwrap().split_whitespace().nth(number - 3).unwrap().into()
}

/// Returns the session of a process, and the device number of its controlling terminal
/// (0: none).
pub fn session(pid: impl std::fmt::Display) -> (i32, i32) {
    (stat_field(&pid, 6).parse().unwrap(), stat_field(&pid, 7).parse().unwrap())
}

/// Returns the processor time of a process, in user and in kernel mode, in 1/100 s.
pub fn ticks(pid: impl std::fmt::Display) -> u64 {
    stat_field(&pid, 14).parse::<u64>().unwrap()
        + stat_field(&pid, 15).parse::<u64>().unwrap()
}

/// Returns whether the process exists and is not a zombie.
pub fn is_alive(pid: impl std::fmt::Display) -> bool {
    let state = status_field(pid, "State");
    !state.is_empty() && !state.starts_with('Z')
}

/// Waits until a process has died. Its cgroup is empty earlier: a process first leaves
/// its cgroup, and PID 1 then waits for the other processes of its namespace
/// (cgroup_exit, exit_notify in do_exit, kernel/exit.c).
#[track_caller]
pub fn assert_exits(pid: impl std::fmt::Display) {
    let died = crate::eventually(|| (!is_alive(&pid)).then_some(()));
    assert!(died.is_some(), "process {pid} does not die");
}
