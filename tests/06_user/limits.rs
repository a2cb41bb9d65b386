//! Limits without root, where no cgroup is delegated. Kiste refuses them, and never
//! ignores them.

use std::fs;

use kiste_tests::host;

use crate::{with_ranges, without_ranges};

#[test]
fn a_limit_that_cannot_be_set_is_refused_with_the_controller_and_a_hint() {
    let Some(user) = without_ranges() else { return };
    for (limit, controller) in [
        (["-m", "32m"], "the memory controller"),
        (["--memory-reservation", "32m"], "the memory controller"),
        (["--pids-limit", "9"], "the pids controller"),
        (["--cpus", "0.5"], "the cpu controller"),
        (["--cpu-shares", "9"], "the cpu controller"),
        (["--cpuset-cpus", "0"], "the cpuset controller"),
        (["--blkio-weight", "10"], "the io controller"),
    ] {
        let ran = user.run(&limit, &["touch", "/ran"]);
        ran.exits(125)
            .complains(controller)
            .complains("not delegated to you")
            .complains("Delegate=yes");
        assert!(
            !user.rootfs().join("ran").exists(),
            "{limit:?}: the command ran without its limit"
        );
        assert!(!user.bench().run_dirs().exists(), "{limit:?}");
    }
}

#[test]
fn a_limit_is_also_refused_with_ranges() {
    let Some(user) = with_ranges() else { return };
    user.run(&["-m", "32m"], &["touch", "/ran"])
        .exits(125)
        .complains("the memory controller");
    assert!(!user.rootfs().join("ran").exists());
}

#[test]
fn without_a_limit_the_command_runs_in_the_callers_cgroup() {
    let Some(user) = with_ranges() else { return };
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let running = user.start(&[], &["sleep", "100"]);
    let its = fs::read_to_string(format!("/proc/{}/cgroup", running.pid)).unwrap();
    assert_eq!(its, own, "the command stays in the caller's cgroup");
    drop(running);
    let ran = user.run(&[], &["true"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

/// The container sees no other cgroup, and cannot make one.
#[test]
fn no_cgroup_is_visible() {
    let Some(user) = with_ranges() else { return };
    user.sh(&[], "ls -A /sys/fs/cgroup; find /sys/fs/cgroup | wc -l; mkdir /sys/fs/cgroup/x 2>/dev/null || echo refused")
        .prints("1\nrefused");
    let running = user.start(&[], &["sleep", "100"]);
    let top = host::mount_at(running.pid, "/sys/fs/cgroup")
        .expect("a mount covers the host's cgroups");
    assert!(
        top.contains(" - tmpfs tmpfs ")
            && top.split(' ').nth(5).unwrap().starts_with("ro"),
        "{top}"
    );
    drop(running);
    let ran = user.sh(&["-u", "nobody"], "umount /sys/fs/cgroup && ls /sys/fs/cgroup");
    assert_eq!(
        (ran.code == 0, ran.out.as_str()),
        (false, ""),
        "a user cannot unmount the cover either"
    );
    user.sh(&[], "cut -d: -f3 /proc/self/cgroup | sort -u").prints("/");
}
