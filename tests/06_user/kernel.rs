//! The ids of a process, as the kernel shows them on the host.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use kiste_tests::host;

/// Reads an id map of a process, with one space between numbers: `0 1000 1\n1 100000
/// 65536`.
pub fn map(pid: i32, kind: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/{kind}_map"))
        .expect("the process runs");
    tidy(&text)
}

/// Replaces each run of spaces by one space.
pub fn tidy(text: &str) -> String {
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Reads the real, effective, saved and file system ids, as ids of the host. `kind` is
/// Uid or Gid.
pub fn ids(pid: i32, kind: &str) -> Vec<u32> {
    host::status_field(pid, kind)
        .split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect()
}

/// Reads whether this process may call setgroups(2): `allow` or `deny`.
pub fn setgroups(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/setgroups"))
        .expect("the process runs")
        .trim()
        .into()
}

/// Reads the owner and group of a file on the disk.
pub fn owner(path: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (metadata.uid(), metadata.gid())
}

/// Lists the files below this directory whose user or group on the disk is root.
pub fn files_of_host_root(tree: &Path) -> Vec<std::path::PathBuf> {
    let (mut rest, mut found) = (vec![tree.to_path_buf()], Vec::new());
    while let Some(path) = rest.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            rest.extend(
                fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()),
            );
        }
        if metadata.uid() == 0 || metadata.gid() == 0 {
            found.push(path);
        }
    }
    found
}

/// Returns whether the host's limits are on cgroup v2.
pub fn is_v2() -> bool {
    host::cgroup_mounts().iter().any(|mount| {
        let controllers = fs::read_to_string(mount.join("cgroup.controllers"));
        controllers
            .is_ok_and(|names| names.split_whitespace().any(|name| name == "memory"))
    })
}
