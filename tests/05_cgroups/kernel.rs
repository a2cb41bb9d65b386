//! Reads the limits from the kernel's files, on both versions of cgroups.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use kiste_tests::{Fixture, Running, host};

/// Returns whether the limits are on version 2.
pub fn is_v2() -> bool {
    host::cgroup_mounts().iter().any(|mount| {
        let controllers = fs::read_to_string(mount.join("cgroup.controllers"));
        controllers
            .is_ok_and(|names| names.split_whitespace().any(|name| name == "memory"))
    })
}

/// Returns `v2` or `v1`, by the version that has the limits.
pub fn by_version<T>(v2: T, v1: T) -> T {
    if is_v2() { v2 } else { v1 }
}

/// Reads a file of a process's cgroup on the host.
#[track_caller]
pub fn value(pid: i32, v2: &str, v1: &str) -> String {
    let file = by_version(v2, v1);
    host::cgroup_value(pid, file)
        .unwrap_or_else(|| panic!("no {file} in the cgroup of {pid}"))
}

/// Reads the memory limit in bytes, or `max`.
#[track_caller]
pub fn memory(pid: i32) -> String {
    max_if_unlimited(value(pid, "memory.max", "memory.limit_in_bytes"))
}

/// Reads the limit of memory and swap together, in bytes, or `max`. Version 2 counts
/// swap alone.
#[track_caller]
pub fn memory_and_swap(pid: i32) -> String {
    let limit =
        max_if_unlimited(value(pid, "memory.swap.max", "memory.memsw.limit_in_bytes"));
    match (is_v2(), limit.parse::<u64>(), memory(pid).parse::<u64>()) {
        (true, Ok(swap), Ok(memory)) => (swap + memory).to_string(),
        _ => limit,
    }
}

/// Reads the memory reservation in bytes. No reservation is 0 on version 2, and `max`
/// on version 1.
#[track_caller]
pub fn reservation(pid: i32) -> String {
    max_if_unlimited(value(pid, "memory.low", "memory.soft_limit_in_bytes"))
}

/// Reads the CPU quota and its period in microseconds: `50000 100000`, `max 100000`.
#[track_caller]
pub fn cpus(pid: i32) -> String {
    if is_v2() {
        return value(pid, "cpu.max", "");
    }
    let quota = value(pid, "", "cpu.cfs_quota_us").replace("-1", "max");
    format!("{quota} {}", value(pid, "", "cpu.cfs_period_us"))
}

/// Reads the share of CPU time, on the scale of the version that has the limits.
#[track_caller]
pub fn cpu_share(pid: i32) -> String {
    value(pid, "cpu.weight", "cpu.shares")
}

/// Reads the share of block I/O. With the bfq scheduler its scale is 10 to 1000.
#[track_caller]
pub fn io_share(pid: i32) -> String {
    let bfq = host::cgroup_value(pid, "io.bfq.weight")
        .or(host::cgroup_value(pid, "blkio.bfq.weight"));
    let share = bfq.unwrap_or_else(|| value(pid, "io.weight", "blkio.weight"));
    share.trim_start_matches("default ").to_string()
}

/// Returns `max` instead of the number that stands for no limit on version 1: the
/// largest number of whole pages.
fn max_if_unlimited(limit: String) -> String {
    let is_unlimited = |bytes: u64| bytes >> 62 != 0;
    if limit.parse().is_ok_and(is_unlimited) { "max".into() } else { limit }
}

/// Returns the id of a container, which is the name of its cgroup.
#[track_caller]
pub fn id(running: &Running) -> String {
    let cgroups = fs::read_to_string(format!("/proc/{}/cgroup", running.pid))
        .expect("the container runs");
    let own = cgroups
        .lines()
        .find(|line| line.contains("/kiste-test-"))
        .expect("the container has its own cgroup");
    own.rsplit('/').next().unwrap().to_string()
}

/// Returns the cgroup of a container in each hierarchy.
pub fn directories(fixture: &Fixture, id: &str) -> Vec<PathBuf> {
    in_each(&format!("{}/{id}", fixture.cgroup_parent()))
}

/// Returns the paths of a cgroup in the hierarchies that have it. `name` is its path
/// from the top of a hierarchy.
pub fn in_each(name: &str) -> Vec<PathBuf> {
    host::cgroup_mounts()
        .into_iter()
        .map(|mount| mount.join(name))
        .filter(|path| path.exists())
        .collect()
}

/// A cgroup that the test makes, as the host would, with values in its files. It is
/// made in each hierarchy that has one of the files. Dropping it removes the cgroup.
pub struct HostCgroup(Vec<PathBuf>);

impl HostCgroup {
    /// Makes the parent cgroup of the fixture's containers.
    pub fn make(fixture: &Fixture, files: &[(&str, &str)]) -> Self {
        HostCgroup::make_at(fixture.cgroup_parent(), files)
    }

    /// Makes a cgroup at this path from the top of each hierarchy.
    pub fn make_at(path: &str, files: &[(&str, &str)]) -> Self {
        let mut made = HostCgroup(Vec::new());
        for cgroup in host::cgroup_mounts().into_iter().map(|mount| mount.join(path)) {
            fs::create_dir(&cgroup)
                .unwrap_or_else(|error| panic!("mkdir {}: {error}", cgroup.display()));
            let present: Vec<_> =
                files.iter().filter(|(file, _)| cgroup.join(file).exists()).collect();
            for (file, text) in &present {
                fs::write(cgroup.join(file), text)
                    .unwrap_or_else(|error| panic!("write {file}: {error}"));
            }
            if present.is_empty() && !files.is_empty() {
                fs::remove_dir(&cgroup).unwrap();
            } else {
                made.0.push(cgroup);
            }
        }
        assert!(!made.0.is_empty(), "no hierarchy has any of {files:?}");
        made
    }

    pub fn paths(&self) -> &[PathBuf] {
        &self.0
    }
}

impl Drop for HostCgroup {
    fn drop(&mut self) {
        for cgroup in &self.0 {
            let removed = kiste_tests::eventually(|| {
                (fs::remove_dir(cgroup).is_ok() || !cgroup.exists()).then_some(())
            });
            assert!(
                removed.is_some() || std::thread::panicking(),
                "rmdir {}",
                cgroup.display()
            );
        }
    }
}

/// Returns all cgroups of the host, in all hierarchies.
pub fn tree() -> BTreeSet<PathBuf> {
    let mut tree: Vec<_> = host::cgroup_mounts();
    let mut next = 0;
    while next < tree.len() {
        let entries = fs::read_dir(&tree[next]).into_iter().flatten().flatten();
        tree.extend(
            entries
                .filter(|it| it.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|it| it.path()),
        );
        next += 1;
    }
    tree.into_iter().collect()
}

/// Returns whether this is the virtual machine, which has no other users and is slow.
pub fn is_vm() -> bool {
    std::env::var_os("KISTE_VM").is_some()
}
