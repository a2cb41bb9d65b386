//! Files of the kernel that are hidden, or cannot be written.

use std::fs;

use kiste_tests::host;

use crate::{root, sh, start};

/// Files that root on the host can read something from, and that a container cannot.
/// Not every kernel has each of them.
const MASKED_FILES: [&str; 7] = [
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/timer_list",
    "/proc/timer_stats",
];
const MASKED_DIRECTORIES: [&str; 5] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/scsi",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn existing<'a>(paths: &[&'a str]) -> Vec<&'a str> {
    paths.iter().copied().filter(|path| fs::exists(path).unwrap()).collect()
}

#[test]
fn the_kernels_files_that_tell_about_the_host_are_empty() {
    let Some(fixture) = root() else { return };
    let files = existing(&MASKED_FILES);
    let script = format!(
        "cat {}; ls -A {}",
        files.join(" "),
        existing(&MASKED_DIRECTORIES).join(" ")
    );
    assert!(files.contains(&"/proc/interrupts"), "{files:?}");
    let ran = sh(&fixture, &[], &script);
    let names = ran
        .exits(0)
        .out
        .lines()
        .filter(|line| !line.is_empty() && !line.ends_with(':'));
    assert_eq!(names.collect::<Vec<_>>(), [""; 0], "{script}");
}

#[test]
fn a_mask_is_a_read_only_mount_without_devices() {
    let Some(fixture) = root() else { return };
    let running = start(&fixture, &[]);
    for path in existing(&MASKED_DIRECTORIES) {
        let mount = host::mount_at(running.pid, path).expect(path);
        assert!(mount.contains(" ro,nosuid,nodev,noexec"), "{mount}");
        assert!(mount.contains(" - tmpfs "), "{mount}");
    }
    for path in existing(&MASKED_FILES) {
        let mount = host::mount_at(running.pid, path).expect(path);
        assert!(mount.contains(" /null "), "{mount}");
    }
    for path in existing(&READ_ONLY) {
        let mount = host::mount_at(running.pid, path).expect(path);
        assert!(mount.split(' ').nth(5).unwrap().starts_with("ro,"), "{mount}");
    }
    let writable = host::mount_at(running.pid, "/proc").unwrap();
    assert!(writable.contains(" rw,"), "{writable}");
}

#[test]
fn no_setting_of_the_kernel_can_be_opened_for_writing() {
    let Some(fixture) = root() else { return };
    // `>>` opens the file, and nothing is written.
    let script = |path: &str| format!(": >> {path}");
    for path in existing(&[
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
    ]) {
        let ran = sh(&fixture, &[], &script(path));
        ran.exits(1).assert_stderr_contains("Read-only file system");
        let open = ["--security-opt", "systempaths=unconfined"];
        sh(&fixture, &open, &script(path)).exits(0);
    }
}

#[test]
fn root_inside_cannot_take_a_mask_away() {
    let Some(fixture) = root() else { return };
    for attempt in [
        "umount /proc/keys",
        "mount -o remount,rw /proc/sys",
        "mount -t proc proc /mnt",
    ] {
        let ran = sh(&fixture, &[], attempt);
        assert_ne!(ran.code, 0, "{attempt}");
        assert!(ran.err.contains("ermi"), "{attempt}: {}", ran.err);
    }
}

/// CVE-2025-31133: a mask is a mount of /dev/null, which must be the device.
#[test]
fn a_mount_in_place_of_dev_null_is_refused() {
    let Some(fixture) = root() else { return };
    let secret = fixture.dir().join("secret");
    fs::write(&secret, "secret").unwrap();
    let volume = format!("{}:/dev/null", secret.display());
    sh(&fixture, &["-v", &volume], "cat /proc/keys")
        .exits(125)
        .assert_stderr_contains("not the device 1:3");
}

/// CVE-2019-19921 and CVE-2023-27561: the image chooses what is masked.
#[test]
fn an_image_whose_proc_or_sys_is_a_link_is_refused() {
    for name in ["proc", "sys"] {
        let Some(fixture) = root() else { return };
        let path = fixture.rootfs().join(name);
        fs::remove_dir_all(&path).unwrap();
        std::os::unix::fs::symlink("/tmp", &path).unwrap();
        sh(&fixture, &[], "true").exits(125).assert_stderr_contains("symbolic link");
    }
}

#[test]
fn the_container_has_its_own_clock_offsets() {
    let Some(fixture) = root() else { return };
    if !fixture.step().has(&["time-namespace"]) {
        return;
    }
    for options in [&[][..], &["--userns", "auto"]] {
        let running = start(&fixture, options);
        assert_ne!(
            host::namespace(running.pid, "time"),
            host::namespace("self", "time")
        );
    }
}
