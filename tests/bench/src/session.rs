//! The environment of one session of the benchmark, and its removal.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::host::{self, Hierarchy};
use crate::peer::Hybrid;
use crate::sys;

/// Scratch space, the common root file system, and a cgroup below which all others are
/// made. The scratch space and the cgroups are removed when this is dropped.
pub struct Session {
    /// The root file system of all containers.
    pub rootfs: PathBuf,
    /// The directory of the workspace's programs: `target/release`.
    pub programs: PathBuf,
    /// The cgroup hierarchies of this host.
    pub hierarchies: Vec<Hierarchy>,
    scratch: TempDir,
    name: String,
    /// On a hybrid host, a mount namespace without cgroup version 2, for peers that
    /// refuse to work with both versions.
    version_1_only: Option<File>,
}

impl Session {
    /// Starts a session.
    ///
    /// # Errors
    /// When there is no root file system, or no space.
    pub fn new(rootfs: &Path) -> Result<Self> {
        let rootfs = rootfs.canonicalize().with_context(|| {
            format!(
                "{}: no root file system; ./rootfs-fetch.sh makes one, --rootfs names another",
                rootfs.display()
            )
        })?;
        let exe = std::env::current_exe().context("find out where this program is")?;
        let programs = exe.parent().unwrap_or(Path::new("/")).to_path_buf();
        let hierarchies = host::hierarchies()?;
        let version_1_only = host::is_hybrid(&hierarchies)
            .then(|| host::without_unified(&hierarchies))
            .transpose()?;
        let scratch = tempfile::Builder::new()
            .prefix("kiste-bench-")
            .tempdir()
            .context("make a directory")?;
        let name = format!("kiste-bench-{}", std::process::id());
        Ok(Session { rootfs, programs, hierarchies, scratch, name, version_1_only })
    }

    /// Returns the cgroup, relative to the root of each hierarchy, below which all
    /// others are made.
    pub fn cgroup(&self) -> &str {
        &self.name
    }

    /// Returns a directory for temporary files.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Lets the command start in a mount namespace whose cgroups the peer accepts.
    pub fn set_mount_namespace(&self, hybrid: Hybrid, command: &mut Command) {
        sys::start_in(
            command,
            self.version_1_only.as_ref().filter(|_| hybrid == Hybrid::Refused),
        );
    }

    /// Fails after Ctrl-C or SIGTERM. The error ends the benchmark, which removes
    /// everything.
    ///
    /// # Errors
    /// After Ctrl-C or SIGTERM.
    pub fn check_interrupt(&self) -> Result<()> {
        if sys::is_interrupted() {
            bail!("interrupted")
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Engines leave mounts in their storage, which would keep the scratch space
        // busy.
        for mount in host::mounts_below(self.scratch.path()) {
            let _ = umount2(&mount, MntFlags::MNT_DETACH);
        }
        for hierarchy in &self.hierarchies {
            let top = hierarchy.mount.join(&self.name);
            if let Err(error) = remove_tree(&top) {
                eprintln!("{}: {error}: remove it by hand", top.display());
            }
        }
    }
}

/// Removes a cgroup and those below it, and kills their processes. A cgroup stays busy
/// for a moment after its last process.
fn remove_tree(cgroup: &Path) -> std::io::Result<()> {
    let Ok(entries) = fs::read_dir(cgroup) else { return Ok(()) };
    let processes = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    // 0 is a process in a PID namespace that is not below ours; for kill(2) it would be
    // our own process group.
    for pid in
        processes.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 1)
    {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    for entry in entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
    {
        remove_tree(&entry.path())?;
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match fs::remove_dir(cgroup) {
            Err(error)
                if error.raw_os_error() == Some(libc::EBUSY)
                    && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            done => return done,
        }
    }
}
