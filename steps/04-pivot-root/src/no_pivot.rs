//! The second way into a root file system, for hosts whose `/` is the kernel's initial
//! rootfs: chroot(2). pivot_root(2) cannot leave that one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::Hint;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, chroot, fchdir};
use rustix::fs::statfs;

use crate::root::Root;

impl Root {
    /// Makes the root file system `/` by chroot(2), as `--no-pivot` asks. The mount is
    /// over the host's `/` already (MS_MOVE). A process with CAP_SYS_CHROOT may leave a
    /// chroot, and the host's files are still mounted below: prefer [`Root::enter`].
    ///
    /// The host's /proc and /sys are unmounted first. From them, the kernel would allow
    /// a container to mount new ones without the masks of its own.
    ///
    /// # Errors
    /// The kernel's, from umount2(2) and chroot(2).
    pub fn enter_by_chroot(self) -> Result<()> {
        let fully_visible = kernel_mounts(&read_mountinfo()?);
        for path in fully_visible.iter().rev() {
            hide(path)?;
        }
        kit::call("enter it, for chroot(.)", "fchdir", &self.name, || {
            fchdir(&self.mount)
        })?;
        kit::call("it becomes /, over the old /", "chroot", ".", || chroot("."))?;
        kit::call("the working directory is inside, too", "chdir", "/", || chdir("/"))
    }
}

fn read_mountinfo() -> Result<String> {
    let path = "/proc/self/mountinfo";
    // The name of a mount point need not be UTF-8.
    let text = std::fs::read(path).with_context(|| format!("read {path}"))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Returns the mount points of the host's /proc and /sys: proc_pid_mountinfo(5). The
/// container's are behind the mount over `/`, and are not reached by these paths.
fn kernel_mounts(mountinfo: &str) -> Vec<PathBuf> {
    let kernel_mount = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let kind = file_system.split(' ').next()?;
        let path = mount.split(' ').nth(4)?;
        matches!(kind, "proc" | "sysfs").then(|| PathBuf::from(unescaped(path)))
    };
    mountinfo.lines().filter_map(kernel_mount).collect()
}

/// Decodes the escapes of mountinfo: `\040` is a space.
fn unescaped(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (code, letter)| path.replace(code, letter))
}

/// Unmounts a file system of the host, or covers it where it cannot be unmounted: in a
/// user namespace the host's mounts are locked together.
fn hide(path: &Path) -> Result<()> {
    // A path that is behind another mount, the container's root for one, is not there.
    match statfs(path) {
        Ok(found) if is_kernel_magic(found.f_type) => {}
        _ => return Ok(()),
    }
    let shown = path.display();
    let unmounted = kit::call(
        "no new /proc or /sys by the host's",
        "umount2",
        format_args!("{shown}, MNT_DETACH"),
        || umount2(path, MntFlags::MNT_DETACH),
    );
    match unmounted {
        Err(error)
            if matches!(kit::errno(&error), Some(Errno::EINVAL | Errno::EPERM)) =>
        {
            let flags = MsFlags::empty();
            kit::call("it cannot be unmounted: cover it", "mount", shown, || {
                mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some("size=0"))
            })
            .hint("--no-pivot needs the host's /proc and /sys out of the way")
        }
        done => done,
    }
}

fn is_kernel_magic(magic: rustix::fs::FsWord) -> bool {
    magic == rustix::fs::PROC_SUPER_MAGIC || magic == SYSFS_MAGIC
}

/// linux/magic.h
const SYSFS_MAGIC: rustix::fs::FsWord = 0x6265_6572;
