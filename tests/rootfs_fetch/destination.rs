//! Where the tree is put, and the words about that and about the options.

use assert_cmd::assert::OutputAssertExt;
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use crate::place::{Place, workspace};

#[test]
fn a_second_run_leaves_the_first_ones_work_alone() {
    let place = Place::with_rootfs();
    let before = fs::metadata(place.path("rootfs")).unwrap().ino();
    place
        .fetch()
        .args(["--from", "nonsense"])
        .assert()
        .success()
        .stderr(contains("is there already"));
    assert_eq!(fs::metadata(place.path("rootfs")).unwrap().ino(), before);
}

#[test]
fn force_replaces_a_root_file_system() {
    let place = Place::with_rootfs();
    place.write("rootfs/mine", "");
    place.fetch().args(["--force", "--from", "little.tar.gz"]).assert().success();
    place.assert_has(&["bin/sh"]);
    assert!(!place.path("rootfs/mine").exists());
    place.assert_nothing_else_left(&["little.tar.gz", "rootfs", "tree"]);
}

#[test]
fn a_force_that_fails_keeps_the_old_root_file_system() {
    let place = Place::with_rootfs();
    place.write("rootfs/mine", "");
    place.fetch().args(["--force", "--from", "no-such.tar"]).assert().code(1);
    place.assert_has(&["bin/sh", "mine"]);
}

#[test]
fn force_does_not_delete_what_is_no_root_file_system() {
    let place = Place::new();
    place.write("home/thesis", "");
    place
        .fetch()
        .args(["--force", "--from", "host", "--dest", "home"])
        .assert()
        .code(1)
        .stderr(contains("neither empty nor a root file system"));
    assert!(place.path("home/thesis").exists());
}

#[test]
fn nothing_is_put_into_a_directory_that_appears_at_the_last_moment() {
    for plant in ["mkdir rootfs; : >rootfs/mine", "mkdir mine; ln -s mine rootfs"] {
        for knows in ["", "case $1 in -T) exit 1 ;; esac;"] {
            let place = Place::new();
            place.little_tarball("little.tar.gz");
            let path = place.path_without(&[]);
            let script = format!(
                "case $* in */rootfs) [ -e rootfs ] || {{ {plant}; }} ;; esac; PATH={path}; {knows}"
            );
            place.fake("mv", &format!("{script} exec mv \"$@\""));
            place
                .fetch()
                .args(["--from", "little.tar.gz"])
                .assert()
                .code(1)
                .stderr(contains("cannot put the tree at ").and(contains("hint: ")));
            let found = fs::read_dir(place.path("rootfs"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name());
            assert!({ found }.all(|name| name == "mine"), "{plant} {knows}");
            place.assert_nothing_else_left(&[
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
    let place = Place::new();
    place.little_tarball("little.tar.gz");
    fs::create_dir(place.path("house")).unwrap();
    fs::copy(workspace().join("rootfs-fetch.sh"), place.path("house/rootfs-fetch.sh"))
        .unwrap();
    Command::new("sh")
        .args(["house/rootfs-fetch.sh", "--from", "little.tar.gz"])
        .current_dir(place.dir.path())
        .assert()
        .success();
    assert!(place.path("house/rootfs/bin/sh").exists());
}

#[test]
fn a_destination_that_cannot_be_made_is_named() {
    let place = Place::new();
    place.write("file", "");
    place
        .fetch()
        .args(["--dest", "file/rootfs"])
        .assert()
        .code(1)
        .stderr(contains("cannot enter file").and(contains("hint: ")));
    // /proc takes nobody's directories, not even root's.
    place
        .fetch()
        .args(["--from", "host", "--dest", "/proc/rootfs"])
        .assert()
        .code(1)
        .stderr(contains("cannot make a directory in /proc").and(contains("hint: ")));
    place.fetch().args(["--dest", "/"]).assert().code(1).stderr(contains("own root"));
}

#[test]
fn a_missing_file_is_named() {
    let place = Place::new();
    place.fetch().args(["--from", "no-such.tar"]).assert().code(1).stderr(
        contains("cannot read no-such.tar: No such file").and(contains("hint: ")),
    );
    place.assert_nothing_else_left(&[]);
}

#[test]
fn an_unknown_option_is_a_usage_error() {
    let place = Place::new();
    place
        .fetch()
        .arg("--frm=host")
        .assert()
        .code(2)
        .stderr(contains("--frm=host").and(contains("usage: ")));
    place
        .fetch()
        .arg("--from")
        .assert()
        .code(2)
        .stderr(contains("--from needs a value"));
    place.assert_nothing_else_left(&[]);
}

#[test]
fn help_names_every_source() {
    let help = Place::new().fetch().arg("--help").assert().success();
    help.stdout(
        contains("alpine")
            .and(contains("busybox"))
            .and(contains("host"))
            .and(contains("KISTE_MIRROR")),
    );
}
