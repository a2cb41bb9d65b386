//! The cgroups of the host.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::mounts;

/// Returns the mount points of the cgroup hierarchies: `/sys/fs/cgroup`,
/// `/sys/fs/cgroup/memory`, …
pub fn cgroup_mounts() -> Vec<PathBuf> {
    let is_cgroup = |line: &&String| {
        line.split(" - ").nth(1).is_some_and(|fs| fs.starts_with("cgroup"))
    };
    let mount_point = |line: &String| line.split(' ').nth(4).map(PathBuf::from);
    mounts().iter().filter(is_cgroup).filter_map(mount_point).collect()
}

/// Returns every cgroup of this name directly below the root of a hierarchy.
pub fn cgroups_named(name: &str) -> Vec<String> {
    let paths = cgroup_mounts().into_iter().map(|mount| mount.join(name));
    paths.filter(|path| path.exists()).map(|path| path.display().to_string()).collect()
}

/// Removes every cgroup of this name directly below the root of a hierarchy, and the
/// cgroups in it.
///
/// # Errors
/// When a process is in one of them.
pub fn remove_cgroups(name: &str) -> io::Result<()> {
    cgroups_named(name).iter().try_for_each(|path| remove_tree(Path::new(path)))
}

fn remove_tree(cgroup: &Path) -> io::Result<()> {
    for entry in fs::read_dir(cgroup)? {
        let entry = entry?;
        // The files of a cgroup cannot be removed, and go with it.
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(cgroup)
}

/// Returns the file with this name in a process's cgroup, in whichever hierarchy has
/// it.
pub fn cgroup_file(pid: impl std::fmt::Display, file: &str) -> Option<PathBuf> {
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let paths: Vec<_> =
        cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2)).collect();
    let candidates = cgroup_mounts().into_iter().flat_map(|mount| {
        paths
            .iter()
            .map(move |path| mount.join(path.trim_start_matches('/')).join(file))
            .collect::<Vec<_>>()
    });
    candidates.filter(|path| path.exists()).max_by_key(|path| path.components().count())
}

/// Returns the content of the file that [`cgroup_file`] finds.
pub fn cgroup_value(pid: impl std::fmt::Display, file: &str) -> Option<String> {
    let text = fs::read_to_string(cgroup_file(pid, file)?).ok()?;
    Some(text.trim().into())
}
