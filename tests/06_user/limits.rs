//! Limits without root, where no cgroup is delegated. Kiste refuses them, and never
//! ignores them.

use std::fs;

use kiste_tests::{User, host, require_tool};

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
        (["--cpu-period", "5000"], "the cpu controller"),
        (["--memory-high", "32m"], "the memory controller"),
        (["--blkio-weight", "10"], "the io controller"),
    ] {
        let ran = user.run(&limit, &["touch", "/ran"]);
        ran.exits(125)
            .assert_stderr_contains(controller)
            .assert_stderr_contains("not delegated to you")
            .assert_stderr_contains("Delegate=yes");
        assert!(
            !user.rootfs().join("ran").exists(),
            "{limit:?}: the command ran without its limit"
        );
        assert!(!user.fixture().run_dirs().exists(), "{limit:?}");
    }
}

#[test]
fn a_limit_is_also_refused_with_ranges() {
    let Some(user) = with_ranges() else { return };
    user.run(&["-m", "32m"], &["touch", "/ran"])
        .exits(125)
        .assert_stderr_contains("the memory controller");
    assert!(!user.rootfs().join("ran").exists());
}

#[test]
fn without_a_limit_the_command_runs_in_the_callers_cgroup() {
    let Some(user) = with_ranges() else { return };
    let of_caller = fs::read_to_string("/proc/self/cgroup").unwrap();
    let running = user.start(&[], &["sleep", "100"]);
    let of_command =
        fs::read_to_string(format!("/proc/{}/cgroup", running.pid)).unwrap();
    assert_eq!(of_command, of_caller, "the command stays in the caller's cgroup");
    drop(running);
    let ran = user.run(&[], &["true"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

/// Makes every run of this user begin with `prepare`, a script that runs as root in a
/// new mount namespace and changes the mounts that the user sees.
fn prepare_mounts(user: &mut User, prepare: &str) {
    let script = format!("set -e; {prepare}; exec \"$@\"");
    let starter = ["unshare", "-m", "--propagation", "private", "sh", "-c"];
    user.root_prefix = starter.map(String::from).to_vec();
    user.root_prefix.extend([script, "sh".into()]);
}

#[test]
fn a_container_without_limits_starts_although_a_cgroup_mount_is_unreadable() {
    if !require_tool("mount") {
        return;
    }
    let Some(mut user) = without_ranges() else { return };
    let closed = user.dir().join("closed");
    let point = closed.join("cgroup");
    fs::create_dir_all(&point).unwrap();
    let (closed, point) = (closed.display(), point.display());
    let mount = "$(ls -d /sys/fs/cgroup/unified /sys/fs/cgroup | head -n 1)";
    for prepare in [
        format!("mount --bind {mount} {point}; chmod 700 {closed}; chown 0 {closed}"),
        format!(
            "mount -t tmpfs -o mode=700 none {closed}; mkdir {point}; mount --bind {mount} {point}"
        ),
        // Here it is the only mount of cgroups.
        format!(
            "mount -t tmpfs -o mode=700 none {closed}; mkdir {point}; mount --bind {mount} {point}; umount -R /sys/fs/cgroup"
        ),
    ] {
        prepare_mounts(&mut user, &prepare);
        user.run(&[], &["echo", "it runs"]).assert_stdout("it runs");
        user.run(&["-m", "64m"], &["true"])
            .exits(125)
            .assert_stderr_contains("not delegated");
    }
}

#[test]
fn a_container_starts_although_the_name_of_a_mount_point_is_not_utf_8() {
    if !require_tool("mount") {
        return;
    }
    let Some(mut user) = without_ranges() else { return };
    let dir = user.dir().display().to_string();
    let mount = "mkdir -p $name; mount -t tmpfs none $name";
    prepare_mounts(&mut user, &format!("cd {dir}; name=$(printf '\\377'); {mount}"));
    user.run(&[], &["echo", "it runs"]).assert_stdout("it runs");
}

/// The container sees no cgroup of the host, and cannot make one.
#[test]
fn no_cgroup_is_visible() {
    let Some(user) = with_ranges() else { return };
    user.sh(&[], "ls -A /sys/fs/cgroup; find /sys/fs/cgroup | wc -l; mkdir /sys/fs/cgroup/x 2>/dev/null || echo refused")
        .assert_stdout("1\nrefused");
    let running = user.start(&[], &["sleep", "100"]);
    let cover = host::mount_at(running.pid, "/sys/fs/cgroup")
        .expect("a mount covers the host's cgroups");
    assert!(
        cover.contains(" - tmpfs tmpfs ")
            && cover.split(' ').nth(5).unwrap().starts_with("ro"),
        "{cover}"
    );
    drop(running);
    let ran = user.sh(&["-u", "nobody"], "umount /sys/fs/cgroup && ls /sys/fs/cgroup");
    assert_eq!(
        (ran.code == 0, ran.out.as_str()),
        (false, ""),
        "a user cannot unmount the cover either"
    );
    user.sh(&[], "cut -d: -f3 /proc/self/cgroup | sort -u").assert_stdout("/");
}
