//! `root`, the working directory, and the two ways into a root file system.

use std::fs;
use std::os::unix::fs::symlink;

use kiste_tests::require_tool;
use serde_json::json;

use super::Bundle;
use crate::fixture;

#[test]
fn a_relative_root_counts_from_the_bundle() {
    let Some(fixture) = fixture() else { return };
    let bundle = Bundle::new(&fixture).set("/root/path", json!("../rootfs"));
    bundle.run("echo it runs").assert_stdout("it runs");
    let bundle = bundle.set("/root/path", json!("no-such"));
    bundle.assert_refused(&["root.path", "bundle/no-such"]);
}

#[test]
fn a_read_only_root_leaves_the_mounts_on_it_writable() {
    let Some(fixture) = fixture() else { return };
    if !require_tool("unshare") {
        return;
    }
    // Also a mount that is part of the root file system: it stays writable, since
    // `readonly` is about the root alone.
    let part = fixture.rootfs().join("part");
    fs::create_dir(&part).unwrap();
    let on_host = format!("mount -t tmpfs part {} && eval \"$RUN\"", part.display());
    let bundle = Bundle::new(&fixture).set("/root/readonly", json!(true)).mount(
        "tmpfs",
        "tmpfs",
        "/new/made",
        &[],
    );
    let script = "for dir in / /etc /new /new/made /part /dev /dev/shm; do \
                  touch $dir/x 2>/dev/null && echo $dir; done";
    let ran = bundle.run_in_mount_namespace(&on_host, script);
    ran.assert_stdout("/new/made\n/part\n/dev\n/dev/shm");
    assert!(fixture.rootfs().join("new/made").is_dir(), "its mount point was made");
}

#[test]
fn a_missing_working_directory_is_made_inside() {
    let Some(fixture) = fixture() else { return };
    let outside = fixture.dir().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, fixture.rootfs().join("link")).unwrap();
    for (cwd, seen) in [
        ("/new/work/dir", "/new/work/dir".to_owned()),
        ("/link/below", format!("{}/below", outside.display())),
    ] {
        let bundle = Bundle::new(&fixture)
            .set("/process/cwd", json!(cwd))
            .set("/root/readonly", json!(true));
        bundle.run("pwd -P").assert_stdout(&seen);
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "nothing is made outside");
    let bundle = Bundle::new(&fixture)
        .mount("tmpfs", "tmpfs", "/mnt", &[])
        .set("/process/cwd", json!("/mnt/work"));
    bundle.run("pwd; stat -f -c %T .").assert_stdout("/mnt/work\ntmpfs");
    assert!(!fixture.rootfs().join("mnt/work").exists(), "it is made on the mount");
}

#[test]
fn no_pivot_enters_by_chroot_and_the_hosts_proc_and_sys_are_out_of_reach() {
    let Some(fixture) = fixture() else { return };
    let bundle = Bundle::new(&fixture);
    let script = "ls /; grep -c ' /proc ' /proc/self/mountinfo";
    let pivoted = bundle.run(script);
    let changed_root = bundle.run_with(&["--no-pivot"], script);
    assert_eq!(changed_root.exits(0).out, pivoted.exits(0).out);
    // The kernel would make new ones from them, without the masks of the container's.
    let explained = bundle.run_with(&["--no-pivot", "--explain"], "true");
    for call in ["/proc, MNT_DETACH", "/sys, MNT_DETACH", "chroot"] {
        explained.assert_stderr_contains(call);
    }
    assert!(!explained.err.contains("pivot_root"), "{}", explained.err);
}

#[test]
fn the_hosts_files_are_gone_once_the_root_is_entered() {
    let Some(fixture) = fixture() else { return };
    let ran = Bundle::new(&fixture).run("cut -d' ' -f5 /proc/self/mountinfo; ls /..");
    let paths: Vec<_> = ran.exits(0).out.lines().collect();
    assert!(!paths.iter().any(|path| path.contains("kiste-test")), "{paths:?}");
    assert_eq!(paths.iter().filter(|path| **path == "/").count(), 1, "{paths:?}");
}

#[test]
fn a_container_without_a_mount_namespace_is_refused() {
    let Some(fixture) = fixture() else { return };
    let namespaces = json!([{"type": "pid"}, {"type": "uts"}]);
    let bundle = Bundle::new(&fixture).set("/linux/namespaces", namespaces);
    bundle.assert_refused(&["mount namespace"]);
}
