//! The host: its programs, cgroup hierarchies and processor.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// The controllers in whose hierarchies Kiste makes a cgroup.
const KISTE_CONTROLLERS: [&str; 8] =
    ["cpu", "cpuacct", "cpuset", "memory", "freezer", "blkio", "io", "pids"];

/// A mounted cgroup hierarchy.
pub struct Hierarchy {
    /// Its mount point.
    pub mount: PathBuf,
    /// The controllers of a version 1 hierarchy; None for version 2.
    pub controllers: Option<Vec<String>>,
}

impl Hierarchy {
    /// Returns whether it is version 2.
    pub fn is_unified(&self) -> bool {
        self.controllers.is_none()
    }

    /// Returns whether it is version 1 and has one of these controllers.
    pub fn has(&self, controllers: &[&str]) -> bool {
        self.controllers.iter().flatten().any(|it| controllers.contains(&it.as_str()))
    }
}

/// Returns the cgroup hierarchies, each once, as /proc/self/mountinfo lists them.
///
/// # Errors
/// When that file cannot be read.
pub fn hierarchies() -> Result<Vec<Hierarchy>> {
    let text = fs::read_to_string("/proc/self/mountinfo")
        .context("read /proc/self/mountinfo")?;
    Ok(text.lines().filter_map(hierarchy).collect())
}

/// Returns the mount points below a directory, the latest first.
pub fn mounts_below(directory: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount_points =
        text.lines().rev().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    mount_points.filter(|point| point.starts_with(directory)).collect()
}

/// Parses a line of mountinfo: see proc_pid_mountinfo(5).
fn hierarchy(line: &str) -> Option<Hierarchy> {
    let (left, right) = line.split_once(" - ")?;
    let mount = left.split(' ').nth(4)?.into();
    let mut fields = right.split(' ');
    let controllers = match fields.next()? {
        "cgroup2" => None,
        "cgroup" => Some(fields.nth(1)?.split(',').map(String::from).collect()),
        _ => return None,
    };
    Some(Hierarchy { mount, controllers })
}

/// Returns whether the host has both version 1 and version 2 hierarchies.
pub fn is_hybrid(hierarchies: &[Hierarchy]) -> bool {
    hierarchies.iter().any(Hierarchy::is_unified)
        && hierarchies.iter().any(|it| !it.is_unified())
}

/// Returns whether Kiste makes a cgroup in a hierarchy. The hierarchy must be version
/// 2, or have a controller that Kiste uses.
pub fn is_used_by_kiste(hierarchy: &Hierarchy) -> bool {
    hierarchy.is_unified() || hierarchy.has(&KISTE_CONTROLLERS)
}

/// Makes a mount namespace like ours, without the version 2 hierarchy of a hybrid host:
/// crun refuses to work with both. The namespace exists as long as the file is open.
///
/// # Errors
/// When the kernel refuses.
pub fn without_unified(hierarchies: &[Hierarchy]) -> Result<File> {
    let unified: Vec<&PathBuf> =
        hierarchies.iter().filter(|it| it.is_unified()).map(|it| &it.mount).collect();
    // Only this new thread enters the namespace, and then the thread ends.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).context("unshare(NEWNS)")?;
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
                .context("mount(/, MS_PRIVATE)")?;
            for mount in unified {
                umount2(mount, MntFlags::MNT_DETACH)
                    .with_context(|| format!("umount2({})", mount.display()))?;
            }
            File::open("/proc/thread-self/ns/mnt")
                .context("open /proc/thread-self/ns/mnt")
        });
        thread.join().expect("the thread does not panic")
    })
}

/// Finds a program on `PATH`.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|it| is_executable(it))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

/// Returns the version in the first line that `program --version` prints.
pub fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    // A version has a dot. The name of a step also begins with a digit, but has none.
    let is_version = |word: &&str| {
        word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.')
    };
    line.split([' ', ',']).find(is_version).unwrap_or(line).into()
}

/// Returns the kernel and the processors: `Linux 6.18.44, 2 × AMD EPYC`.
pub fn described() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models = cpuinfo.lines().filter(|line| line.starts_with("model name"));
    let model = models
        .clone()
        .next()
        .and_then(|line| line.split_once(": "))
        .map_or("CPU", |(_, name)| name);
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    format!("Linux {}, {cpus} × {model}", kernel.trim())
}

/// Returns the load average of the last minute. On a busy host, times mean little.
pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_gives_version_and_controllers() {
        let v1 = hierarchy(
            "34 25 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct",
        )
        .unwrap();
        assert_eq!(v1.mount, Path::new("/sys/fs/cgroup/cpu"));
        assert!(v1.has(&["cpuacct"]) && !v1.has(&["pids"]) && !v1.is_unified());
        let v2 =
            hierarchy("34 25 0:29 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw")
                .unwrap();
        assert!(v2.is_unified() && !is_hybrid(&[v2]));
        assert!(hierarchy("22 1 254:0 / / rw - ext4 /dev/vda rw").is_none());
    }
}
