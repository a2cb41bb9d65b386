//! `linux.devices`, the default devices, and the links in /dev.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::json;

use super::Bundle;
use crate::fixture;

#[test]
fn the_default_devices_and_links_are_made() {
    let Some(fixture) = fixture() else { return };
    let script = "cd /dev; stat -c '%n %F %t:%T %a %u:%g' null zero full random urandom tty; \
                  for link in fd stdin stdout stderr ptmx; do echo $link $(readlink $link); done; \
                  echo x >null; head -c 2 zero | od -An -tx1; ls console 2>/dev/null";
    let ran = Bundle::new(&fixture).run(script);
    let device = "character special file";
    let expected = [
        format!("null {device} 1:3 666 0:0"),
        format!("zero {device} 1:5 666 0:0"),
        format!("full {device} 1:7 666 0:0"),
        format!("random {device} 1:8 666 0:0"),
        format!("urandom {device} 1:9 666 0:0"),
        format!("tty {device} 5:0 666 0:0"),
        "fd /proc/self/fd".into(),
        "stdin /proc/self/fd/0".into(),
        "stdout /proc/self/fd/1".into(),
        "stderr /proc/self/fd/2".into(),
        "ptmx pts/ptmx".into(),
        " 00 00".into(),
    ];
    assert_eq!(
        ran.out.trim_end().split('\n').collect::<Vec<_>>(),
        expected,
        "{}",
        ran.err
    );
    let has_core = std::path::Path::new("/proc/kcore").exists();
    let core = Bundle::new(&fixture).run("readlink /dev/core");
    assert_eq!(core.code == 0, has_core, "/dev/core: {}", core.out);
}

#[test]
fn a_device_has_its_exact_type_number_mode_and_owner_whatever_the_umask_is() {
    let Some(fixture) = fixture() else { return };
    let devices = json!([
        {"path": "/dev/char", "type": "c", "major": 1, "minor": 5, "fileMode": 0o622, "uid": 11, "gid": 12},
        {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 7},
        {"path": "/dev/deep/er/block", "type": "b", "major": 7, "minor": 3, "fileMode": 0o100640},
        {"path": "/dev/fifo", "type": "p", "fileMode": 0o602, "uid": 13},
        {"path": "name", "type": "c", "major": 1, "minor": 3, "fileMode": 0},
        {"path": "/elsewhere/node", "type": "c", "major": 1, "minor": 3},
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "gid": 5},
    ]);
    let bundle = Bundle::new(&fixture).set("/linux/devices", devices);
    let mut arguments = bundle.write(
        "stat -c '%n %F %t:%T %a %u:%g' /dev/char /dev/unbuffered /dev/deep/er/block /dev/fifo \
         /dev/name /elsewhere/node /dev/null",
    );
    let quoted = arguments.iter_mut().map(|it| format!("'{it}'"));
    let command = quoted.collect::<Vec<_>>().join(" ");
    let program = fixture.exe().display();
    let ran = fixture.run_through_shell(&format!("umask 077; '{program}' {command}"));
    let (char, block) = ("character special file", "block special file");
    ran.assert_stdout(&format!(
        "/dev/char {char} 1:5 622 11:12\n/dev/unbuffered {char} 1:7 666 0:0\n\
         /dev/deep/er/block {block} 7:3 640 0:0\n/dev/fifo fifo 0:0 602 13:0\n\
         /dev/name {char} 1:3 0 0:0\n/elsewhere/node {char} 1:3 666 0:0\n\
         /dev/null {char} 1:3 600 0:5"
    ));
}

#[test]
fn in_a_user_namespace_devices_are_bound_from_the_host() {
    let Some(fixture) = fixture() else { return };
    let devices = json!([
        {"path": "/dev/fifo", "type": "p", "fileMode": 0o644},
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3},
    ]);
    let bundle =
        Bundle::new(&fixture).in_user_namespace(100_000).set("/linux/devices", devices);
    let ran = bundle.run("cd /dev; stat -c '%n %F %t:%T' null zero fifo; grep -c ' /dev/null ' /proc/self/mountinfo");
    let device = "character special file";
    ran.assert_stdout(&format!(
        "null {device} 1:3\nzero {device} 1:5\nfifo fifo 0:0\n1"
    ));
    // The host's file at that path is another.
    let devices = json!([{"path": "/dev/zero", "type": "c", "major": 1, "minor": 9}]);
    Bundle::new(&fixture)
        .in_user_namespace(100_000)
        .set("/linux/devices", devices)
        .assert_refused(&["/dev/zero is not the device c 1:9"]);
    let devices =
        json!([{"path": "/dev/no-such", "type": "c", "major": 1, "minor": 9}]);
    Bundle::new(&fixture)
        .in_user_namespace(100_000)
        .set("/linux/devices", devices)
        .assert_refused(&["/dev/no-such", "ENOENT", "hint:"]);
}

#[test]
fn nothing_is_made_in_a_dev_of_the_host() {
    let Some(fixture) = fixture() else { return };
    let dev = fixture.dir().join("dev");
    fs::create_dir(&dev).unwrap();
    Bundle::new(&fixture)
        .without_mount("/dev")
        .mount("bind", &dev, "/dev", &["rbind"])
        .run("ls -A /dev")
        .assert_stdout("");
    assert_eq!(fs::read_dir(&dev).unwrap().count(), 0);
}

#[test]
fn without_a_mount_on_dev_the_devices_are_made_once_in_the_root_file_system() {
    let Some(fixture) = fixture() else { return };
    let bundle = Bundle::new(&fixture).without_mount("/dev");
    for _ in 0..2 {
        bundle.run("echo x >/dev/null && readlink /dev/ptmx").assert_stdout("pts/ptmx");
    }
    let null = fs::metadata(fixture.rootfs().join("dev/null")).unwrap();
    assert!(null.file_type().is_char_device());
    assert_eq!(null.rdev(), makedev(1, 3));
}

/// CVE-2025-31133: a file that is taken for /dev/null.
#[test]
fn another_file_in_place_of_a_device_is_refused() {
    let Some(fixture) = fixture() else { return };
    let canary = fixture.dir().join("canary");
    fs::write(&canary, "of the host").unwrap();
    let null = fixture.rootfs().join("dev/null");
    let _ = fs::remove_file(&null);
    let assert_refused = || {
        let bundle = Bundle::new(&fixture).without_mount("/dev");
        bundle.assert_refused(&["/dev/null is not the device c 1:3", "hint:"]);
        fs::remove_file(&null).unwrap();
    };
    symlink(&canary, &null).unwrap();
    assert_refused();
    fs::write(&null, "").unwrap();
    assert_refused();
    mknod(&null, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 5)).unwrap();
    assert_refused();
    assert_eq!(fs::read_to_string(&canary).unwrap(), "of the host");
    assert_eq!(fs::metadata(&canary).unwrap().uid(), 0);
}

#[test]
fn an_invalid_device_is_refused() {
    let Some(fixture) = fixture() else { return };
    for (device, words) in [
        (json!({"path": "/dev/x", "type": "a", "major": 1, "minor": 3}), "type"),
        (json!({"path": "/dev/../etc/x", "type": "c", "major": 1, "minor": 3}), "path"),
        (json!({"path": "/proc/x", "type": "c", "major": 1, "minor": 3}), "path"),
        (json!({"path": "/dev/x", "type": "c", "major": -1, "minor": 3}), "number"),
    ] {
        let bundle = Bundle::new(&fixture).set("/linux/devices", json!([device]));
        bundle.assert_refused(&[device["path"].as_str().unwrap(), words]);
    }
}

#[test]
fn a_read_only_dev_has_its_devices() {
    let Some(fixture) = fixture() else { return };
    let options = ["nosuid", "mode=755", "ro"];
    let mut bundle = Bundle::new(&fixture).without_mount("/dev");
    bundle = bundle.mount("tmpfs", "tmpfs", "/dev", &options).mount(
        "tmpfs",
        "tmpfs",
        "/dev/shm",
        &["mode=1777"],
    );
    let script = "echo x >/dev/null && echo x >/dev/shm/x && touch /dev/x 2>/dev/null || echo read-only";
    bundle.run(script).assert_stdout("read-only");
}
