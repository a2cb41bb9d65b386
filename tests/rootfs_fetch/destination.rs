//! The destination of the root file system, and errors about it and about the options.

use assert_cmd::assert::OutputAssertExt;
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use crate::test_dir::{TestDir, workspace};

#[test]
fn a_second_run_does_not_touch_the_root_file_system_of_the_first() {
    let dir = TestDir::with_rootfs();
    let before = fs::metadata(dir.path("rootfs")).unwrap().ino();
    dir.fetch()
        .args(["--from", "nonsense"])
        .assert()
        .success()
        .stderr(contains("is there already"));
    assert_eq!(fs::metadata(dir.path("rootfs")).unwrap().ino(), before);
}

#[test]
fn force_replaces_a_root_file_system() {
    let dir = TestDir::with_rootfs();
    dir.write("rootfs/mine", "");
    dir.fetch().args(["--force", "--from", "little.tar.gz"]).assert().success();
    dir.assert_has(&["bin/sh"]);
    assert!(!dir.path("rootfs/mine").exists());
    dir.assert_nothing_else_left(&["little.tar.gz", "rootfs", "tree"]);
}

#[test]
fn a_force_that_fails_keeps_the_old_root_file_system() {
    let dir = TestDir::with_rootfs();
    dir.write("rootfs/mine", "");
    dir.fetch().args(["--force", "--from", "no-such.tar"]).assert().code(1);
    dir.assert_has(&["bin/sh", "mine"]);
}

#[test]
fn force_does_not_delete_a_directory_that_is_no_root_file_system() {
    let dir = TestDir::new();
    dir.write("home/thesis", "");
    dir.fetch()
        .args(["--force", "--from", "host", "--dest", "home"])
        .assert()
        .code(1)
        .stderr(contains("neither empty nor a root file system"));
    assert!(dir.path("home/thesis").exists());
}

#[test]
fn nothing_is_moved_into_a_directory_that_appears_just_before_the_move() {
    for create in ["mkdir rootfs; : >rootfs/mine", "mkdir mine; ln -s mine rootfs"] {
        // The second fake mv(1) has no option -T, like some real ones.
        for no_target_option in ["", "case $1 in -T) exit 1 ;; esac;"] {
            let dir = TestDir::new();
            dir.little_tarball("little.tar.gz");
            let path = dir.path_without(&[]);
            let script = format!(
                "case $* in */rootfs) [ -e rootfs ] || {{ {create}; }} ;; esac; PATH={path}; {no_target_option}"
            );
            dir.fake("mv", &format!("{script} exec mv \"$@\""));
            dir.fetch()
                .args(["--from", "little.tar.gz"])
                .assert()
                .code(1)
                .stderr(contains("cannot put the tree at ").and(contains("hint: ")));
            let found = fs::read_dir(dir.path("rootfs"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name());
            assert!(
                { found }.all(|name| name == "mine"),
                "{create} {no_target_option}"
            );
            dir.assert_nothing_else_left(&[
                "fakes",
                "little.tar.gz",
                "mine",
                "path",
                "rootfs",
                "tree",
            ]);
        }
    }
}

#[test]
fn the_default_destination_is_beside_the_script() {
    let dir = TestDir::new();
    dir.little_tarball("little.tar.gz");
    fs::create_dir(dir.path("house")).unwrap();
    fs::copy(workspace().join("rootfs-fetch.sh"), dir.path("house/rootfs-fetch.sh"))
        .unwrap();
    Command::new("sh")
        .args(["house/rootfs-fetch.sh", "--from", "little.tar.gz"])
        .current_dir(dir.temp.path())
        .assert()
        .success();
    assert!(dir.path("house/rootfs/bin/sh").exists());
}

#[test]
fn a_destination_that_cannot_be_made_is_named() {
    let dir = TestDir::new();
    dir.write("file", "");
    dir.fetch()
        .args(["--dest", "file/rootfs"])
        .assert()
        .code(1)
        .stderr(contains("cannot enter file").and(contains("hint: ")));
    // In /proc not even root can make a directory.
    dir.fetch()
        .args(["--from", "host", "--dest", "/proc/rootfs"])
        .assert()
        .code(1)
        .stderr(contains("cannot make a directory in /proc").and(contains("hint: ")));
    dir.fetch().args(["--dest", "/"]).assert().code(1).stderr(contains("own root"));
}

#[test]
fn a_missing_file_is_named() {
    let dir = TestDir::new();
    dir.fetch().args(["--from", "no-such.tar"]).assert().code(1).stderr(
        contains("cannot read no-such.tar: No such file").and(contains("hint: ")),
    );
    dir.assert_nothing_else_left(&[]);
}

#[test]
fn an_unknown_option_is_a_usage_error() {
    let dir = TestDir::new();
    dir.fetch()
        .arg("--frm=host")
        .assert()
        .code(2)
        .stderr(contains("--frm=host").and(contains("usage: ")));
    dir.fetch().arg("--from").assert().code(2).stderr(contains("--from needs a value"));
    dir.assert_nothing_else_left(&[]);
}

#[test]
fn help_names_every_source() {
    let help = TestDir::new().fetch().arg("--help").assert().success();
    help.stdout(
        contains("alpine")
            .and(contains("busybox"))
            .and(contains("host"))
            .and(contains("KISTE_MIRROR")),
    );
}
