//! What the kernel knows of a process's ids, seen from the host.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use kiste_tests::host;

/// A map as it is read outside, with one space between numbers: `0 1000 1\n1 100000
/// 65536`.
pub fn map(pid: i32, kind: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/{kind}_map")).expect("it runs");
    tidy(&text)
}

/// One space between numbers.
pub fn tidy(text: &str) -> String {
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Real, effective, saved and file system id, as the host knows them; `kind` is Uid or
/// Gid.
pub fn ids(pid: i32, kind: &str) -> Vec<u32> {
    host::status(pid, kind).split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// Whether this process may still write setgroups(2)'s list: `allow`, `deny`.
pub fn setgroups(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/setgroups")).expect("it runs").trim().into()
}

/// Who a file belongs to on the disk: user and group.
pub fn owner(path: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (metadata.uid(), metadata.gid())
}

/// What is below this directory and belongs to the host's root, user or group; nothing
/// may.
pub fn of_root(tree: &Path) -> Vec<std::path::PathBuf> {
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

/// Whether the limits are on version 2.
pub fn is_v2() -> bool {
    host::cgroup_mounts().iter().any(|mount| {
        let controllers = fs::read_to_string(mount.join("cgroup.controllers"));
        controllers
            .is_ok_and(|names| names.split_whitespace().any(|name| name == "memory"))
    })
}
