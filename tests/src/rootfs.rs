//! A root file system of the test's own: a copy of `./rootfs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kiste_course::checkout::copy_tree;

use crate::host;

/// Returns the root file system that `rootfs-fetch.sh` has made, in $KISTE_ROOTFS or in
/// the workspace.
pub fn original() -> PathBuf {
    let fetched = std::env::var_os("KISTE_ROOTFS")
        .map(PathBuf::from)
        .unwrap_or_else(|| kiste_course::workspace().join("rootfs"));
    assert!(
        fetched.is_dir(),
        "{}: no root file system; ./rootfs-fetch.sh makes one",
        fetched.display()
    );
    fetched
}

/// Returns whether the root file system has this program: a copy of the host's own
/// tools may lack it. If not, the test is reported as skipped, as by
/// [`crate::require_tool`].
pub fn has_program(name: &str) -> bool {
    let found = original().join("bin").join(name).symlink_metadata().is_ok();
    if !found {
        let package = host::package_of(name);
        let why = format!("not found in PATH of ./rootfs (the package {package})");
        crate::report_missing(name, &why);
    }
    found
}

/// Copies a root file system.
pub fn copy(from: &Path, to: &Path) {
    copy_tree(from, to)
        .unwrap_or_else(|error| panic!("copy {}: {error}", from.display()));
}

/// Copies a host program to `/name` of a root file system. Its libraries get the paths
/// that they have on the host.
pub fn install(program: &Path, name: &str, rootfs: &Path) {
    host::copy_program(program, &rootfs.join(name));
    let output =
        Command::new("ldd").arg(program).output().expect("run ldd, of the C library");
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        let target = rootfs.join(library.trim_start_matches('/'));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        if !target.exists() {
            host::copy_program(Path::new(library), &target);
        }
    }
}
