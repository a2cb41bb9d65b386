//! The state of the host, read from the kernel.

mod cgroups;
mod process_tree;
mod processes;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

pub use kiste_course::programs::{find, has, package_of};
use nix::unistd::geteuid;

pub use cgroups::{
    cgroup_file, cgroup_mounts, cgroup_value, cgroups_named, remove_cgroups,
};
pub use process_tree::{Process, process_tree};
pub use processes::{
    assert_exits, children, is_alive, kill_tree, processes_at, processes_in,
    processes_of, session, stat_field, status_field, stream, ticks,
};

/// Changes the owner of a directory and of everything below it.
pub fn chown_recursive(path: &Path, uid: u32, gid: u32) {
    if uid == geteuid().as_raw() {
        return;
    }
    let given = Command::new("chown")
        .args(["-R", "-h", &format!("{uid}:{gid}")])
        .arg(path)
        .status();
    assert!(given.expect("run chown").success(), "chown {}", path.display());
}

/// Returns the lines of this process's /proc/PID/mountinfo.
pub fn mounts() -> Vec<String> {
    mounts_of("self")
}

/// Returns the lines of a process's /proc/PID/mountinfo.
pub fn mounts_of(pid: impl std::fmt::Display) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    text.lines().map(String::from).collect()
}

/// Returns the mount point in a line of mountinfo, as the process sees it.
pub fn mount_point(line: &str) -> &str {
    line.split(' ').nth(4).expect("mountinfo has a mount point in its fifth field")
}

/// Returns the line of a process's mountinfo for this mount point. If several mounts
/// are stacked on it, that of the topmost.
pub fn mount_at(pid: impl std::fmt::Display, point: &str) -> Option<String> {
    mounts_of(pid).into_iter().rfind(|line| mount_point(line) == point)
}

/// Returns the namespace of this kind (`uts`, `pid_for_children`, …) that a process is
/// in: `uts:[4026531838]`.
pub fn namespace(pid: impl std::fmt::Display, kind: &str) -> String {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}"));
    link.unwrap_or_else(|error| panic!("/proc/{pid}/ns/{kind}: {error}"))
        .display()
        .to_string()
}

/// Returns the kinds of namespaces that this kernel supports, as `/proc/self/ns` lists
/// them.
pub fn namespace_kinds() -> Vec<String> {
    let names =
        fs::read_dir("/proc/self/ns").unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

/// Returns the kinds of namespaces that a process does not share with this process:
/// `["ipc", "pid"]`.
pub fn own_namespaces(pid: impl std::fmt::Display) -> Vec<String> {
    let mut own = namespace_kinds();
    own.retain(|kind| {
        !kind.ends_with("_for_children")
            && namespace(&pid, kind) != namespace("self", kind)
    });
    own.sort();
    own
}

/// Asserts that /dev/null is a device. A runtime under test once turned it into a
/// regular file.
pub fn assert_dev_null_is_a_device() {
    let null = fs::metadata(Path::new("/dev/null")).expect("/dev/null is there");
    assert!(
        null.file_type().is_char_device() && null.rdev() == 0x103,
        "/dev/null is no longer device 1:3"
    );
}

/// Copies a program, with mode 0755. A child process does it: while this process has
/// the file open for writing, a child forked by another test has it open as well, and
/// then execve fails with ETXTBSY.
pub fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("install").args(["-m", "755"]).args([from, to]).status();
    assert!(
        copied.expect("run install, of coreutils").success(),
        "copy {}",
        from.display()
    );
}

/// Returns a number that no other call in this process returns.
pub fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
