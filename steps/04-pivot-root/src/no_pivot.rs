//! The second way into a root file system, for hosts whose `/` is the kernel's initial
//! rootfs: chroot(2). pivot_root(2) cannot leave that one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::Hint;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::unistd::{chdir, chroot, fchdir};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

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
        for (id, path) in fully_visible.iter().rev() {
            hide(*id, path)?;
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

/// Returns the ids and the mount points of all /proc and /sys: proc_pid_mountinfo(5).
fn kernel_mounts(mountinfo: &str) -> Vec<(u64, PathBuf)> {
    let kernel_mount = |line: &str| {
        let (fields, file_system) = line.split_once(" - ")?;
        let kind = file_system.split(' ').next()?;
        let id = fields.split(' ').next()?.parse().ok()?;
        let path = mount::unescape(fields.split(' ').nth(4)?.as_bytes());
        matches!(kind, "proc" | "sysfs").then_some((id, path))
    };
    mountinfo.lines().filter_map(kernel_mount).collect()
}

/// Unmounts a file system of the host, or covers it where it cannot be unmounted: in a
/// user namespace the host's mounts are locked together.
fn hide(id: u64, path: &Path) -> Result<()> {
    // The container's own mounts are on the mount over `/`, and the same paths lead to
    // the host's below it.
    match statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MNT_ID) {
        Ok(found) if found.stx_mnt_id == id => {}
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
                nix::mount::mount(
                    Some("tmpfs"),
                    path,
                    Some("tmpfs"),
                    flags,
                    Some("size=0"),
                )
            })
            .hint("--no-pivot needs the host's /proc and /sys out of the way")
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_the_kernel_are_found_in_mountinfo() {
        let mountinfo = "21 26 0:19 / /sys rw - sysfs sysfs rw\n\
                         22 26 0:20 / /a\\040b rw shared:1 - proc proc rw\n\
                         23 26 0:21 / /dev rw - tmpfs proc rw\n";
        let found = [(21, "/sys".into()), (22, "/a b".into())];
        assert_eq!(kernel_mounts(mountinfo), found);
    }
}
