//! Hostile images, whose /etc/passwd or /etc/group is not an ordinary file.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use kiste_tests::{Fixture, host};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::mkfifo;

use crate::{root, with_ranges};

/// Asserts that `-u bin` or `-u 1:bin` is refused with a message. `kiste_tests` kills a
/// run that hangs.
#[track_caller]
fn assert_refused(fixture: &Fixture, file: &str, what: &str) {
    let user = if file == "passwd" { "bin" } else { "1:bin" };
    let ran = fixture.run(&["-u", user], &["echo", "it runs"]);
    assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{file} is {what}: {ran:?}");
    ran.assert_stderr_contains(&format!("/etc/{file}"))
        .assert_stderr_contains("error: ");
    assert!(!ran.err.contains("panic"), "{file} is {what}: {}", ran.err);
}

#[test]
fn only_a_regular_file_is_read() {
    let Some(fixture) = root() else { return };
    for file in ["passwd", "group"] {
        let path = fixture.rootfs().join("etc").join(file);
        let aside = fixture.rootfs().join("aside");
        fs::rename(&path, &aside).unwrap();
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        assert_refused(&fixture, file, "a FIFO");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_refused(&fixture, file, "a directory");
        fs::remove_dir(&path).unwrap();
        mknod(&path, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 5)).unwrap();
        assert_refused(&fixture, file, "an endless device");
        fs::remove_file(&path).unwrap();
        for link in ["/dev/zero", "/dev/stdin", "/proc", file, "/proc/self/fd/0"] {
            symlink(link, &path).unwrap();
            assert_refused(&fixture, file, link);
            fs::remove_file(&path).unwrap();
        }
        fs::rename(&aside, &path).unwrap();
    }
}

/// kmsg never ends. environ and cmdline are those of the runtime, which reads the file.
#[test]
fn a_link_into_proc_is_not_followed() {
    let Some(fixture) = root() else { return };
    for file in ["passwd", "group"] {
        let path = fixture.rootfs().join("etc").join(file);
        fs::remove_file(&path).unwrap();
        for link in [
            "self/environ",
            "self/cmdline",
            "1/environ",
            "kmsg",
            "self/root/etc/passwd",
            "self/exe",
        ] {
            symlink(Path::new("/proc").join(link), &path).unwrap();
            assert_refused(&fixture, file, link);
            fs::remove_file(&path).unwrap();
        }
        fs::write(&path, "bin:x:1:1::/bin:\n").unwrap();
    }
}

#[test]
fn a_link_to_a_file_of_the_host_is_resolved_inside_the_root() {
    let Some(fixture) = root() else { return };
    let canary = fixture.dir().join("canary");
    fs::write(&canary, "bin:x:1:1::/of-the-host:\n").unwrap();
    for file in ["passwd", "group"] {
        let path = fixture.rootfs().join("etc").join(file);
        fs::remove_file(&path).unwrap();
        for link in [
            canary.to_str().unwrap(),
            "../../canary",
            "../../../../../../../../../../tmp",
        ] {
            symlink(link, &path).unwrap();
            assert_refused(&fixture, file, link);
            fs::remove_file(&path).unwrap();
        }
        fs::write(&path, "bin:x:1:1::/bin:\n").unwrap();
    }
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let Some(fixture) = root() else { return };
    for file in ["passwd", "group"] {
        let path = fixture.rootfs().join("etc").join(file);
        let text = fs::read(&path).unwrap();
        for size in [(1 << 20) + 1, 100 << 20, 1 << 40] {
            File::create(&path).unwrap().set_len(size).unwrap();
            assert_refused(&fixture, file, "large");
        }
        fs::write(&path, text).unwrap();
    }
}

#[test]
fn malformed_lines_are_skipped() {
    let Some(fixture) = root() else { return };
    let noise: &[u8] =
        b"\n\n:::::::\nroot\n:x:0:0::/:\nx\nbin\0:x:0:0\n\xff\xfe:x:0:0::/:\n-1:-1:-1:-1\n# bin:x:0:0\n";
    for file in ["passwd", "group"] {
        let path = fixture.rootfs().join("etc").join(file);
        let text = fs::read(&path).unwrap();
        fs::write(&path, noise).unwrap();
        assert_refused(&fixture, file, "noise");
        fs::write(&path, [noise, &text].concat()).unwrap();
    }
    fixture.sh(&["-u", "bin:bin"], "id -u; id -g").assert_stdout("1\n1");
}

/// setresuid(2) and setresgid(2) take the largest number for "leave it unchanged": the
/// command would stay root.
#[test]
fn an_invalid_id_does_not_leave_the_command_root() {
    let Some(fixture) = root() else { return };
    let passwd = fixture.rootfs().join("etc/passwd");
    for ids in [
        "4294967295:1",
        "1:4294967295",
        "4294967296:1",
        "-1:1",
        ":1",
        "1:",
        "0x0:0",
        "1.5:1",
        " 1:1",
    ] {
        fs::write(&passwd, format!("odd:x:{ids}::/:\n")).unwrap();
        let ran = fixture.run(&["-u", "odd"], &["id"]);
        ran.exits(125)
            .assert_stderr_contains("has no ids")
            .assert_stderr_contains("/etc/passwd");
        assert_eq!(ran.out, "", "{ids}");
    }
    fs::write(&passwd, "bin:x:1:1::/:\n").unwrap();
    let group = fixture.rootfs().join("etc/group");
    fs::write(&group, "odd:x:4294967295:\n").unwrap();
    fixture
        .run(&["-u", "bin:odd"], &["id"])
        .exits(125)
        .assert_stderr_contains("group \"odd\"");
    fs::write(&group, "odd:x:4294967295:bin\nodder:x:-1:bin\nfine:x:77:bin\n").unwrap();
    fixture.sh(&["-u", "bin"], "id -G").assert_stdout("1 77");
}

/// setgroups(2) takes 65536 groups at most, and an image may list more.
#[test]
fn more_groups_than_the_kernel_takes_are_an_error() {
    let Some(fixture) = root() else { return };
    let groups: String = (0..70_000).map(|gid| format!("g:x:{gid}:b\n")).collect();
    assert!(groups.len() <= 1 << 20, "{}", groups.len());
    fs::write(fixture.rootfs().join("etc/group"), groups).unwrap();
    fs::write(fixture.rootfs().join("etc/passwd"), "b:x:1:1::/:\n").unwrap();
    let ran = fixture.run(&["-u", "b"], &["echo", "it runs"]);
    ran.exits(125).assert_stderr_contains("setgroups");
    assert!(ran.err.len() < 500, "stderr has {} bytes", ran.err.len());
    assert_eq!(ran.out, "");
}

/// Tries the same files without root, and also a descriptor of the caller.
#[test]
fn hostile_files_are_also_refused_without_root() {
    let Some(user) = with_ranges() else { return };
    let path = user.rootfs().join("etc/passwd");
    fs::remove_file(&path).unwrap();
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    user.chown_to_user(&path);
    user.run(&["-u", "bin"], &["true"])
        .exits(125)
        .assert_stderr_contains("/etc/passwd")
        .assert_stderr_contains("not a regular file");
    fs::remove_file(&path).unwrap();
    for link in ["/proc/self/environ", "/proc/kmsg", "/dev/stdin", "../../passwd"] {
        symlink(link, &path).unwrap();
        user.run(&["-u", "bin"], &["true"])
            .exits(125)
            .assert_stderr_contains("/etc/passwd");
        fs::remove_file(&path).unwrap();
    }
    host::assert_dev_null_is_a_device();
}
