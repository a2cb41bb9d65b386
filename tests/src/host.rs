//! What the host looks like, in the kernel's own words.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The lines of this process's mountinfo.
pub fn mounts() -> Vec<String> {
    mounts_of("self")
}

/// The lines of a process's mountinfo.
pub fn mounts_of(pid: impl std::fmt::Display) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    text.lines().map(String::from).collect()
}

/// Which namespace of this kind (`uts`, `pid_for_children`, …) a process is in: `uts:[4026531838]`.
pub fn namespace(pid: impl std::fmt::Display, kind: &str) -> String {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}"));
    link.unwrap_or_else(|error| panic!("/proc/{pid}/ns/{kind}: {error}")).display().to_string()
}

/// A field of /proc/PID/status: `field(1, "NSpid")`.
pub fn status(pid: impl std::fmt::Display, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().trim().into()
}

/// Whether there is such a process, and it is no zombie.
pub fn is_alive(pid: impl std::fmt::Display) -> bool {
    let state = status(pid, "State");
    !state.is_empty() && !state.starts_with('Z')
}

/// Where cgroup hierarchies are mounted: `/sys/fs/cgroup`, `/sys/fs/cgroup/memory`, …
pub fn cgroup_mounts() -> Vec<PathBuf> {
    let is_cgroup = |line: &&String| line.split(" - ").nth(1).is_some_and(|fs| fs.starts_with("cgroup"));
    let place = |line: &String| line.split(' ').nth(4).map(PathBuf::from);
    mounts().iter().filter(is_cgroup).filter_map(place).collect()
}

/// Every cgroup of this name directly below a hierarchy's top.
pub fn cgroups_named(name: &str) -> Vec<String> {
    let paths = cgroup_mounts().into_iter().map(|mount| mount.join(name));
    paths.filter(|path| path.exists()).map(|path| path.display().to_string()).collect()
}

/// The file of a process's cgroup that has this name, in whichever hierarchy has it.
pub fn cgroup_file(pid: impl std::fmt::Display, file: &str) -> Option<PathBuf> {
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let paths: Vec<_> = cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2)).collect();
    let candidates = cgroup_mounts().into_iter().flat_map(|mount| {
        paths.iter().map(move |path| mount.join(path.trim_start_matches('/')).join(file)).collect::<Vec<_>>()
    });
    candidates.filter(|path| path.exists()).max_by_key(|path| path.components().count())
}

/// What such a file says.
pub fn cgroup_value(pid: impl std::fmt::Display, file: &str) -> Option<String> {
    let text = fs::read_to_string(cgroup_file(pid, file)?).ok()?;
    Some(text.trim().into())
}

/// A runtime under test once turned it into a regular file.
pub fn assert_dev_null_is_a_device() {
    let null = fs::metadata(Path::new("/dev/null")).expect("/dev/null is there");
    assert!(null.file_type().is_char_device() && null.rdev() == 0x103, "/dev/null is no longer device 1:3");
}

/// A number that no other call in this process gives.
pub fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
