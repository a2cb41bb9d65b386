//! Attacks that work in a container of step 8, and fail in one of step 9.
//!
//! Each is tried twice: with everything turned off, as in step 8, where it must work,
//! and with the default. The attacks do no harm where they work: they act on a
//! namespace of the container, or only open a file.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use kiste_tests::{Fixture, Ran};

use crate::{root, sh};

/// The container of step 8.
const STEP_8: [&str; 6] = [
    "--cap-add",
    "ALL",
    "--security-opt",
    "seccomp=unconfined",
    "--security-opt",
    "systempaths=unconfined",
];

#[track_caller]
fn assert_stopped(fixture: &Fixture, attack: &str) -> Ran {
    sh(fixture, &STEP_8, attack).exits(0);
    let ran = sh(fixture, &[], attack);
    assert_ne!(ran.code, 0, "it works: {attack}: {ran:?}");
    ran
}

#[test]
fn nothing_can_be_mounted() {
    let Some(fixture) = root() else { return };
    for attack in [
        "mount -t tmpfs none /mnt",
        "mount --bind /proc/sys /mnt",
        "mount -o remount,rw /sys",
        "mount -t sysfs none /mnt",
        "umount /dev/shm",
    ] {
        assert_stopped(&fixture, attack);
    }
}

#[test]
fn no_new_namespace_can_be_made_or_entered() {
    let Some(fixture) = root() else { return };
    for attack in ["unshare -m true", "unshare -u true", "unshare -n true"] {
        assert_stopped(&fixture, attack);
    }
}

#[test]
fn the_kernels_log_cannot_be_read() {
    let Some(fixture) = root() else { return };
    assert_stopped(&fixture, "dmesg -s 100 > /dev/null");
}

#[test]
fn settings_of_the_host_cannot_be_written() {
    let Some(fixture) = root() else { return };
    for file in ["core_pattern", "panic", "hostname"] {
        assert_stopped(&fixture, &format!(": >> /proc/sys/kernel/{file}"));
    }
}

/// The release agent of a version 1 cgroup runs on the host as root (CVE-2022-0492).
#[test]
fn no_file_of_a_cgroup_can_be_written() {
    let Some(fixture) = root() else { return };
    let attack = "for dir in /sys/fs/cgroup /sys/fs/cgroup/*; do mount -o remount,rw $dir 2>/dev/null && exit 0; done; exit 1";
    assert_stopped(&fixture, attack);
}

#[test]
fn the_network_cannot_be_changed() {
    let Some(fixture) = root() else { return };
    assert_stopped(&fixture, "ip link add veth9 type veth");
    assert_stopped(&fixture, "ip link set lo down");
}

#[test]
fn the_host_name_cannot_be_changed() {
    let Some(fixture) = root() else { return };
    assert_stopped(&fixture, "hostname changed");
}

/// These would change the host, so they are not tried with everything turned off.
#[test]
fn the_clock_a_module_and_a_reboot_are_out_of_reach() {
    let Some(fixture) = root() else { return };
    let ran = sh(&fixture, &[], "date -s '2001-01-01 00:00'");
    ran.assert_stderr_contains("not permitted");
    let ran = sh(&fixture, &[], "head -c 999 /bin/busybox > /x.ko; insmod /x.ko");
    assert_ne!(ran.code, 0, "{ran:?}");
    ran.assert_stderr_contains("not permitted");
}

#[test]
fn the_hosts_timers_interrupts_and_keys_are_out_of_sight() {
    let Some(fixture) = root() else { return };
    for file in ["interrupts", "timer_list"] {
        assert_stopped(&fixture, &format!("[ -n \"$(cat /proc/{file})\" ]"));
    }
    sh(&fixture, &[], "cat /proc/keys").assert_stdout("");
}

/// CAP_MKNOD is among the default capabilities. The node can be made, and not be opened:
/// the rules of the cgroup deny it. With a disk in its place, root inside could read
/// every file of the host.
#[test]
fn a_device_of_the_host_cannot_be_opened_through_a_node_of_the_containers_own() {
    let Some(fixture) = root() else { return };
    let Some((kind, major, minor)) = a_device() else {
        kiste_tests::report_missing("a-device", "this host's root can open no disk");
        return;
    };
    let attack = format!("mknod /tmp/node {kind} {major} {minor} && : < /tmp/node");
    sh(&fixture, &["--privileged"], &attack).exits(0);
    sh(&fixture, &[], "rm /tmp/node").exits(0);
    let ran = sh(&fixture, &[], &attack);
    ran.exits(1).assert_stderr_contains("/tmp/node: Operation not permitted");
    assert!(fixture.rootfs().join("tmp/node").exists(), "it was made");
}

/// Returns the kind and the numbers of a device that root on this host can open: a
/// disk, or else /dev/fuse.
fn a_device() -> Option<(char, u32, u32)> {
    let disks = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let paths = disks.map(|disk| std::path::Path::new("/dev").join(disk.file_name()));
    let open = |path: &std::path::PathBuf| std::fs::File::open(path).is_ok();
    let found = paths.chain(["/dev/fuse".into()]).find(open)?;
    let device = std::fs::metadata(found).ok()?;
    let kind = if device.file_type().is_block_device() { 'b' } else { 'c' };
    let number = device.rdev();
    Some((kind, rustix::fs::major(number), rustix::fs::minor(number)))
}

/// The only processes are those of the container, as since step 2. CAP_SYS_PTRACE would
/// reach others of the container, not of the host.
#[test]
fn no_process_of_the_host_is_in_reach() {
    let Some(fixture) = root() else { return };
    let host = std::process::id();
    let ran = sh(&fixture, &[], &format!("kill -0 {host} || cat /proc/{host}/environ"));
    assert_ne!(ran.code, 0, "{ran:?}");
    sh(&fixture, &[], "ls -d /proc/[0-9]* | wc -l").assert_stdout("3");
}
