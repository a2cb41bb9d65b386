//! The checks of this step.

use std::path::Path;

use kit::doctor::Check;

/// The checks of this step.
pub fn checks() -> Vec<Check> {
    vec![rootfs(), check_pivot()]
}

fn rootfs() -> Check {
    match Path::new("./rootfs").is_dir() {
        true => Check::ok("rootfs", "./rootfs is there"),
        false => Check::missing(
            "rootfs",
            "no ./rootfs here",
            "./rootfs-fetch.sh, or --rootfs DIR",
        ),
    }
}

/// Checks whether pivot_root(2) works: the kernel's initial rootfs cannot be pivoted
/// away from.
pub fn check_pivot() -> Check {
    let mounts = std::fs::read("/proc/self/mounts").unwrap_or_default();
    // The name of a mount point need not be UTF-8.
    let mounts = String::from_utf8_lossy(&mounts);
    let root = mounts.lines().filter_map(|line| line.split_once(" / ")).next_back();
    match root.and_then(|(_, rest)| rest.split(' ').next()) {
        Some("rootfs") => Check::fails(
            "pivot-root",
            "/ is the kernel's initial rootfs, which cannot be pivoted away from",
            "boot with a disk as /, or switch_root to a tmpfs first",
        ),
        Some(kind) => {
            Check::ok("pivot-root", format_args!("/ is {kind}, a mount like any other"))
        }
        None => {
            Check::missing("pivot-root", "/ is not in /proc/self/mounts", "mount /proc")
        }
    }
}
