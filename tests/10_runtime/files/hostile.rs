//! Hostile images and volumes: they try to choose what a mount covers, and where files
//! are made. security.md lists the CVEs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use kiste_tests::Fixture;
use kiste_tests::exchange::{Exchange, OTHER_USER};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{Bundle, mounted};
use crate::fixture;

/// Makes a directory on the host in which nothing may be made.
fn canary(fixture: &Fixture) -> PathBuf {
    let path = fixture.dir().join("canary");
    fs::create_dir_all(path.join("pts")).unwrap();
    fs::write(path.join("null"), "of the host").unwrap();
    fs::write(path.join("ptmx"), "of the host").unwrap();
    path
}

fn assert_untouched(canary: &Path, what: &str) {
    let names = |path: &Path| {
        let entries = fs::read_dir(path).unwrap();
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(canary), ["null", "ptmx", "pts"], "{what}");
    assert_eq!(names(&canary.join("pts")).len(), 0, "{what}");
    for file in ["null", "ptmx"] {
        let file = canary.join(file);
        assert_eq!(fs::read_to_string(file).unwrap(), "of the host", "{what}");
    }
}

/// CVE-2019-16884, 2019-19921, 2023-27561, 2023-28642, youki 2025-54867.
#[test]
fn proc_and_sys_are_mounted_only_on_an_ordinary_directory() {
    let Some(fixture) = fixture() else { return };
    let canary = canary(&fixture);
    fs::create_dir(fixture.rootfs().join("other")).unwrap();
    let twin = fixture.rootfs().join(canary.strip_prefix("/").unwrap());
    fs::create_dir_all(&twin).unwrap();
    for place in ["proc", "sys"] {
        let path = fixture.rootfs().join(place);
        let assert_refused = |what: &str| {
            Bundle::new(&fixture).assert_refused(&[&format!("/{place}"), "hint:"]);
            assert_untouched(&canary, what);
            assert_eq!(fs::read_dir(&twin).unwrap().count(), 0, "{what}");
            fs::remove_file(&path).unwrap();
        };
        fs::remove_dir(&path).unwrap();
        for link in
            [canary.to_str().unwrap(), "../canary", "/nowhere", "other", "/", ".."]
        {
            symlink(link, &path).unwrap();
            assert_refused(&format!("/{place} is a link to {link}"));
        }
        fs::write(&path, "").unwrap();
        assert_refused("a file");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        assert_refused("a FIFO");
        fs::create_dir(&path).unwrap();
    }
    // The directory above it is a link.
    symlink("other", fixture.rootfs().join("link")).unwrap();
    Bundle::new(&fixture)
        .mount("proc", "proc", "/link/proc", &[])
        .assert_refused(&["/link/proc", "ELOOP"]);
    Bundle::new(&fixture).run("echo it runs").assert_stdout("it runs");
}

/// runc CVE-2026-41579, crun CVE-2026-47766, CVE-2026-88264.
#[test]
fn a_dev_that_is_a_link_makes_nothing_outside_the_root() {
    let Some(fixture) = fixture() else { return };
    let canary = canary(&fixture);
    let dev = fixture.rootfs().join("dev");
    fs::remove_dir_all(&dev).unwrap();
    for link in [canary.to_str().unwrap(), "../canary", "../../canary"] {
        symlink(link, &dev).unwrap();
        // With the mounts of every engine, with only a tmpfs, and without any.
        for bundle in [
            Bundle::new(&fixture),
            Bundle::new(&fixture).without_mount("/dev").mount(
                "tmpfs",
                "tmpfs",
                "/dev",
                &[],
            ),
            Bundle::new(&fixture).without_mount("/dev"),
        ] {
            bundle.assert_refused(&["/dev", "symbolic link"]);
            assert_untouched(&canary, link);
        }
        fs::remove_file(&dev).unwrap();
    }
    // /dev is in order, and what is in it leads out.
    fs::create_dir(&dev).unwrap();
    let bundle = Bundle::new(&fixture).without_mount("/dev");
    symlink(&canary, dev.join("pts")).unwrap();
    symlink(canary.join("ptmx"), dev.join("ptmx")).unwrap();
    symlink(canary.join("new"), dev.join("console")).unwrap();
    let bundle = bundle.mount("devpts", "devpts", "/dev/pts", &["newinstance"]);
    bundle.run("readlink /dev/ptmx").assert_stdout("pts/ptmx");
    assert_untouched(&canary, "links in /dev");
}

/// CVE-2023-25809: `ro` is about one mount, and below the host's /sys are its cgroups.
#[test]
fn the_hosts_cgroups_are_read_only_below_a_read_only_mount_of_its_sys() {
    let Some(fixture) = fixture() else { return };
    let ran = Bundle::new(&fixture)
        .without_mount("/sys")
        .mount("none", "/sys", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"])
        .run("cat /proc/self/mountinfo");
    let paths = ran.exits(0).out.lines().filter_map(|line| line.split(' ').nth(4));
    let below: Vec<_> = paths.filter(|path| path.starts_with("/sys")).collect();
    for path in &below {
        assert!(mounted(&ran.out, path).unwrap().has("ro"), "{path}");
    }
    assert!(below.len() > 1, "the cgroups are there: {below:?}");
}

/// CVE-2019-16884: a mount over a part of /proc hides it from the runtime.
#[test]
fn only_the_emulated_files_of_proc_can_be_covered() {
    let Some(fixture) = fixture() else { return };
    let source = fixture.dir().join("source");
    fs::create_dir(&source).unwrap();
    let file = source.join("file");
    fs::write(&file, "emulated").unwrap();
    symlink("/proc", fixture.rootfs().join("to-proc")).unwrap();
    symlink("/proc/self/attr", fixture.rootfs().join("to-attr")).unwrap();
    for target in [
        "/proc",
        "/proc/self",
        "/proc/self/attr",
        "/proc/sys",
        "/proc/new",
        "/x/../proc/sys",
        "/to-proc",
        "/to-proc/sys",
        "/to-attr",
    ] {
        for bundle in [
            Bundle::new(&fixture).mount("bind", &source, target, &["bind"]),
            Bundle::new(&fixture).mount("tmpfs", "tmpfs", target, &[]),
        ] {
            bundle.assert_refused(&["in /proc cannot be mounted over"]);
        }
    }
    let ran = Bundle::new(&fixture)
        .mount("bind", &file, "/proc/meminfo", &["bind"])
        .mount("bind", &file, "/proc/uptime", &["bind"])
        .mount("bind", &file, "/to-proc/loadavg", &["bind"])
        .run("cat /proc/meminfo /proc/uptime /proc/loadavg");
    ran.assert_stdout(&"emulated".repeat(3));
    // Before /proc is mounted it is not covered either.
    let mut bundle =
        Bundle::new(&fixture).mount("bind", &source, "/proc/sys", &["bind"]);
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.rotate_right(1);
    bundle.assert_refused(&["in /proc cannot be mounted over"]);
}

#[test]
fn the_root_itself_cannot_be_covered() {
    let Some(fixture) = fixture() else { return };
    symlink("/", fixture.rootfs().join("link")).unwrap();
    for target in ["/", "//", "/..", "/etc/..", "/link", "."] {
        let bundle = Bundle::new(&fixture).mount("tmpfs", "tmpfs", target, &[]);
        bundle.assert_refused(&["the root itself cannot be mounted over"]);
    }
    Bundle::new(&fixture)
        .mount("proc", "proc", "/", &[])
        .assert_refused(&["the root itself cannot be mounted over"]);
}

#[test]
fn a_target_that_leads_out_is_made_and_mounted_inside() {
    let Some(fixture) = fixture() else { return };
    let canary = canary(&fixture);
    symlink(&canary, fixture.rootfs().join("out")).unwrap();
    symlink("../../../..", fixture.rootfs().join("up")).unwrap();
    let up = format!("/up{}/pts", canary.display());
    let ran = Bundle::new(&fixture)
        .mount("tmpfs", "tmpfs", "/out/new", &[])
        .mount("tmpfs", "tmpfs", &up, &[])
        .run("touch /out/new/file; cat /proc/self/mountinfo");
    let inside = format!("{}/new", canary.display());
    assert_eq!(mounted(&ran.exits(0).out, &inside).unwrap().kind, "tmpfs");
    assert_untouched(&canary, "a mount behind a link");
}

/// CVE-2021-30465 and 2024-45310: another container exchanges a directory of a shared
/// volume and a link while we mount on it.
#[test]
fn a_volume_that_changes_meanwhile_cannot_move_a_mount_out_of_the_root() {
    let Some(fixture) = fixture() else { return };
    let canary = canary(&fixture);
    let (volume, secret) = (fixture.dir().join("volume"), fixture.dir().join("secret"));
    fs::create_dir_all(volume.join("target/deep")).unwrap();
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("file"), "mounted").unwrap();
    symlink(&canary, volume.join("link")).unwrap();
    for path in [&volume, &volume.join("target")] {
        std::os::unix::fs::chown(path, Some(OTHER_USER), Some(OTHER_USER)).unwrap();
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(fixture.dir(), mode).unwrap();
    std::os::unix::fs::lchown(volume.join("link"), Some(OTHER_USER), None).unwrap();
    let _exchange = Exchange::start(&volume.join("target"), &volume.join("link"));
    let bundle = Bundle::new(&fixture)
        .mount("bind", &volume, "/volume", &["bind"])
        .mount("bind", &secret, "/volume/target/new", &["bind"])
        .mount("tmpfs", "tmpfs", "/volume/target/tmp/deep", &[]);
    let mut started = 0;
    for _ in 0..30 {
        let ran = bundle.run("cat /proc/self/mountinfo");
        started += u32::from(ran.code == 0);
        // Whether it starts or not, nothing is made or mounted outside.
        assert_untouched(&canary, &ran.err);
        let host = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!host.contains("canary"), "{host}");
    }
    println!("{started} of 30 started");
}
